//! Go on: a refresh token for the next pair.
//!
//! Invariants: no failure before the commit costs the client its token, and none after it, since
//! what is answered is signed from what is stored; the same predecessor gets the very same bytes.

use std::net::IpAddr;
use std::sync::Arc;

use crate::access::Role;
use crate::clock::Timestamp;
use crate::detached::run_to_completion;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, EventActor, EventKind};
use crate::id::{SessionId, UserId};
use crate::secret::Secret;
use crate::session::{Origin, Rotated, Rotation, Session};
use crate::token::RefreshClaims;
use crate::user::Status;

use super::{Flows, TokenPair};

/// A session that goes on.
#[derive(Clone, Debug)]
pub struct Refreshed {
    /// Whose.
    pub user: UserId,
    /// Which.
    pub session: SessionId,
    /// The tokens.
    pub tokens: TokenPair,
}

/// A session that was found alive.
struct Alive {
    role: Role,
    /// Its absolute end, which no refresh moves.
    ends_at: Timestamp,
}

impl Flows {
    pub(crate) async fn refresh(
        self: &Arc<Self>,
        token: &Secret<String>,
        origin: &Origin,
    ) -> Result<Refreshed> {
        let address = origin.address;
        let mut shown = None;
        let result = self.exchange(token, address, &mut shown).await;
        if let Err(error) = &result
            && error.kind() != ErrorKind::TokenReused
        {
            let kind = EventKind::RefreshFailed(error.kind());
            let mut event = Event::new(kind, self.time().now(), EventActor::Anonymous);
            (event.user, event.session) = shown.unzip();
            self.observer().observe(&event.from_address(address));
        }
        result
    }

    /// `shown` is what a token names that is goat's own: for the events, not for the answer.
    async fn exchange(
        self: &Arc<Self>,
        token: &Secret<String>,
        address: Option<IpAddr>,
        shown: &mut Option<(UserId, SessionId)>,
    ) -> Result<Refreshed> {
        let claims = self.tokens.verify_refresh(token.expose(), self.time().now())?;
        *shown = Some((claims.user, claims.session));
        let alive = self.check_session(&claims).await?;
        let permissions = self.token_permissions(&alive.role).await?;
        let flows = Arc::clone(self);
        // Once it is decided it is carried out, so that the events of a reuse are not lost.
        run_to_completion(async move {
            flows.rotate(&claims, alive.ends_at, permissions, address).await
        })
        .await
    }

    /// Whether the session that a token names is alive, and its user may go on.
    async fn check_session(&self, claims: &RefreshClaims) -> Result<Alive> {
        let gone = || Error::from(ErrorKind::SessionRevoked);
        let view = self.users.sessions.find(claims.user, claims.session).await?.ok_or_else(gone)?;
        let session = view.session;
        if session.user != claims.user {
            return Err(gone());
        }
        let now = self.time().now();
        if session.is_expired(now) {
            // The leeway for clocks never reaches past the session's end, which is the token's too.
            let kind = if claims.expires_at <= now {
                ErrorKind::TokenExpired
            } else {
                ErrorKind::SessionRevoked
            };
            return Err(kind.into());
        }
        let state = match view.owner {
            Some(state) => state,
            None => self.users.users.state(claims.user).await?.ok_or_else(gone)?,
        };
        let alive = state.epoch.covers(session.id, session.epoch);
        if state.status == Status::Active && alive {
            Ok(Alive { role: state.role, ends_at: session.ends_at })
        } else {
            Err(gone())
        }
    }

    async fn rotate(
        &self,
        claims: &RefreshClaims,
        ends_at: Timestamp,
        permissions: Option<Vec<String>>,
        address: Option<IpAddr>,
    ) -> Result<Refreshed> {
        let now = self.time().now();
        let rotation = Rotation {
            session: claims.session,
            user: claims.user,
            presented: claims.id,
            successor: self.next_refresh_token(now, ends_at),
            now,
            leeway: self.settings.refresh_leeway,
        };
        let (session, kind) = match self.users.sessions.rotate(&rotation).await? {
            Rotated::Rotated(session) => (session, EventKind::Refreshed),
            Rotated::Repeated(session) => (session, EventKind::RefreshRepeated),
            Rotated::Unknown => return Err(ErrorKind::SessionRevoked.into()),
            Rotated::Reused(session) => return Err(self.reused(&session, address).await),
        };
        let event = Event::new(kind, now, EventActor::User(session.user))
            .on(session.user)
            .in_session(session.id)
            .from_address(address);
        self.observer().observe(&event);
        let tokens = self.sign(&session, permissions, now)?;
        Ok(Refreshed { user: session.user, session: session.id, tokens })
    }

    /// The store has ended the session; its access tokens die with it.
    async fn reused(&self, session: &Session, address: Option<IpAddr>) -> Error {
        self.users.validator.session_ended(session.user, session.id).await;
        let event = Event::new(EventKind::TokenReused, self.time().now(), EventActor::Anonymous)
            .on(session.user)
            .in_session(session.id)
            .from_address(address);
        self.observer().observe(&event);
        ErrorKind::TokenReused.into()
    }
}
