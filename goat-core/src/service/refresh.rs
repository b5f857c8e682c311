//! Refresh: rotates a refresh token and returns the next token pair.
//!
//! Invariants: no failure before the commit costs the client its token, and none after it, since the
//! returned tokens are signed from the stored claims; a repeated predecessor gets identical bytes; a
//! replacement of the session's tokens is applied before the rotation that it may decide.

use std::net::IpAddr;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::detached::run_to_completion;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, EventActor, EventKind};
use crate::id::{SessionId, UserId};
use crate::secret::Secret;
use crate::session::{Origin, Session};
use crate::store::{Rotated, Rotation};
use crate::token::RefreshClaims;
use crate::user::{Revisions, User};

use super::{Context, TokenPair};

/// The result of a refresh.
#[derive(Clone, Debug)]
pub struct Refreshed {
    /// The user.
    pub user: UserId,
    /// The session.
    pub session: SessionId,
    /// The session's tokens.
    pub tokens: TokenPair,
}

/// A session that was found live.
struct Live {
    user: User,
    revisions: Revisions,
    /// The absolute expiry, which no refresh extends.
    ends_at: Timestamp,
}

impl Context {
    pub(crate) async fn refresh(
        self: &Arc<Self>,
        token: &Secret<String>,
        origin: &Origin,
    ) -> Result<Refreshed> {
        let claims = self.verify_refresh(token, origin.address)?;
        self.exchange(claims, origin.address).await
    }

    /// Verifies a refresh token, without reading a store. A failure is an event.
    pub(super) fn verify_refresh(
        &self,
        token: &Secret<String>,
        address: Option<IpAddr>,
    ) -> Result<RefreshClaims> {
        let verified = self.tokens.verify_refresh(token.expose(), self.time.now());
        verified.inspect_err(|error| self.refresh_failed(error, None, address))
    }

    /// Exchanges a verified refresh token for the next token pair.
    pub(super) async fn exchange(
        self: &Arc<Self>,
        claims: RefreshClaims,
        address: Option<IpAddr>,
    ) -> Result<Refreshed> {
        let of = Some((claims.user, claims.session));
        let result = self.check_and_rotate(claims, address).await;
        result.inspect_err(|error| self.refresh_failed(error, of, address))
    }

    /// Emits the event of a failed refresh. A reuse has an event of its own.
    fn refresh_failed(
        &self,
        error: &Error,
        of: Option<(UserId, SessionId)>,
        address: Option<IpAddr>,
    ) {
        if error.kind() == ErrorKind::TokenReused {
            return;
        }
        let kind = EventKind::RefreshFailed(error.kind());
        let mut event = Event::new(kind, self.time.now(), EventActor::Anonymous);
        (event.user, event.session) = of.unzip();
        self.observer.observe(&event.with_address(address));
    }

    async fn check_and_rotate(
        self: &Arc<Self>,
        claims: RefreshClaims,
        address: Option<IpAddr>,
    ) -> Result<Refreshed> {
        let live = self.check_session(&claims).await?;
        let user = &live.user;
        let permissions = self.token_permissions(user.id, &user.role).await?;
        let context = Arc::clone(self);
        // Detached, so that the event of a reuse is not lost if the client disconnects.
        run_to_completion(async move { context.rotate(&claims, &live, permissions, address).await })
            .await
    }

    /// Checks that the token's session is live.
    async fn check_session(&self, claims: &RefreshClaims) -> Result<Live> {
        let gone = || Error::from(ErrorKind::SessionRevoked);
        let view = self.stores.sessions.find(claims.user, claims.session).await?;
        let view = view.ok_or_else(gone)?;
        let session = view.session;
        if session.user != claims.user {
            return Err(gone());
        }
        let now = self.time.now();
        if session.is_expired(now) {
            // The leeway for clock skew never extends past the session's expiry, which is the
            // token's too.
            let kind = if claims.expires_at <= now {
                ErrorKind::TokenExpired
            } else {
                ErrorKind::SessionRevoked
            };
            return Err(kind.into());
        }
        let state = match view.owner {
            Some(state) => state,
            None => self.stores.users.state(claims.user).await?.ok_or_else(gone)?,
        };
        if !state.has_live_session(session.id, session.epoch) {
            return Err(gone());
        }
        let mut epoch = session.epoch;
        if let Some(replacement) = self.validator.lacked_replacement(&session, state.epoch).await? {
            self.stores.sessions.replace_tokens(session.user, &replacement, now).await?;
            epoch = replacement.epoch;
        }
        // Also decided by the rotation, for a replacement that commits meanwhile.
        if claims.epoch < epoch {
            return Err(gone());
        }
        let revisions = state.revisions();
        Ok(Live { user: state.user, revisions, ends_at: session.ends_at })
    }

    async fn rotate(
        &self,
        claims: &RefreshClaims,
        live: &Live,
        permissions: Option<Vec<String>>,
        address: Option<IpAddr>,
    ) -> Result<Refreshed> {
        let now = self.time.now();
        let rotation = Rotation {
            session: claims.session,
            user: claims.user,
            presented: claims.id,
            epoch: claims.epoch,
            successor: self.next_refresh_token(now, live.ends_at),
            address,
            now,
            leeway: self.settings.refresh_leeway,
        };
        let (session, kind) = match self.stores.sessions.rotate(&rotation).await? {
            Rotated::Rotated(session) => (session, EventKind::Refreshed),
            Rotated::Repeated(session) => {
                let kind = repeat_of(&session, address);
                (session, kind)
            }
            Rotated::Unknown | Rotated::Replaced => return Err(ErrorKind::SessionRevoked.into()),
            Rotated::Reused(session) => {
                return Err(self.reused(&session, &live.user, address).await);
            }
        };
        let event = Event::new(kind, now, EventActor::User(session.user))
            .about(&live.user)
            .in_session(session.id)
            .with_address(address);
        self.observer.observe(&event);
        let tokens = self.sign(&session, &live.user, permissions, live.revisions, now)?;
        Ok(Refreshed { user: session.user, session: session.id, tokens })
    }

    /// Handles refresh-token reuse: the store has ended the session; its access tokens become invalid.
    async fn reused(&self, session: &Session, user: &User, address: Option<IpAddr>) -> Error {
        self.validator.sessions_ended(session.user, &[session.id]).await;
        let event = Event::new(EventKind::TokenReused, self.time.now(), EventActor::Anonymous)
            .about(user)
            .in_session(session.id)
            .with_address(address);
        self.observer.observe(&event);
        ErrorKind::TokenReused.into()
    }
}

/// Returns the event of a repeated refresh. Within the grace period a repeat from elsewhere may be a
/// client that changed networks, so it ends nothing.
fn repeat_of(session: &Session, address: Option<IpAddr>) -> EventKind {
    if session.previous.is_some_and(|previous| previous.is_elsewhere(address)) {
        EventKind::RefreshRepeatedElsewhere
    } else {
        EventKind::RefreshRepeated
    }
}

#[cfg(test)]
mod tests;
