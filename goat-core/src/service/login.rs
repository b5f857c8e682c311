//! Login: exchanges an e-mail address and a password for a session.
//!
//! Invariants:
//! - an admitted attempt costs exactly one password verification, whether or not the account exists;
//! - the account's status is revealed only after a correct password;
//! - nothing after the commit of the session can fail the login.

use std::sync::Arc;

use crate::detached::run_to_completion;
use crate::error::{ErrorKind, Result};
use crate::event::{Event, EventActor, EventKind};
use crate::id::{SessionId, UserId};
use crate::limit::WithDecisions;
use crate::password::{TriedPassword, Verification};
use crate::secret::Secret;
use crate::session::{Origin, Session};
use crate::store::Rehashed;
use crate::user::{Account, Email, Status, User};

use super::{Context, TokenPair};

/// Stored length of a `User-Agent`, in characters.
const DEVICE_LENGTH: usize = 256;

/// A login request. Both texts are taken as typed; any pair that does not match is the same error.
#[derive(Clone, Debug)]
pub struct Login {
    /// The e-mail address.
    pub email: Secret<String>,
    /// The password.
    pub password: Secret<String>,
    /// The origin of the request.
    pub origin: Origin,
}

/// The result of a login.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// The user.
    pub user: User,
    /// The new session.
    pub session: SessionId,
    /// The session's tokens.
    pub tokens: TokenPair,
}

impl Context {
    pub(crate) async fn login(self: &Arc<Self>, request: Login) -> Result<WithDecisions<SignedIn>> {
        let address = request.origin.address;
        let email = request.email.expose();
        let decision = self.acquire_attempt(email, EventActor::Anonymous, address).await?;
        let mut known = None;
        match self.login_admitted(request, &mut known).await {
            Ok(value) => Ok(WithDecisions { value, decisions: Vec::from_iter(decision) }),
            Err(error) => {
                let kind = EventKind::SignInFailed(error.kind());
                let mut event = Event::new(kind, self.time.now(), EventActor::Anonymous);
                event.user = known;
                self.observer.observe(&event.with_address(address));
                Err(error.with_decisions(decision))
            }
        }
    }

    /// Sets `known` to the account's user, if it exists: for the event, not for the response.
    async fn login_admitted(
        self: &Arc<Self>,
        request: Login,
        known: &mut Option<UserId>,
    ) -> Result<SignedIn> {
        let account = match Email::parse(request.email.expose()) {
            Ok(email) => self.stores.users.by_email(email.canonical()).await?,
            Err(_) => None,
        };
        *known = account.as_ref().map(|account| account.user.id);
        // TIMING: exactly one verification, against a dummy hash if the account does not exist.
        let tried = TriedPassword::new(request.password.expose());
        let verified = self.verify_password(&tried, account.as_ref()).await?;
        let Some(account) = account.filter(|_| verified.matches()) else {
            return Err(ErrorKind::InvalidCredentials.into());
        };
        // TIMING: the status is checked last, so that only a correct password reveals it.
        match account.user.status {
            Status::Active => {}
            Status::Inactive => return Err(ErrorKind::AccountInactive.into()),
            Status::Suspended => return Err(ErrorKind::AccountSuspended.into()),
        }
        let rehashed = match verified {
            Verification::MatchesOutdated => self.rehash(&tried).await,
            Verification::Matches | Verification::Differs => None,
        };
        let permissions = self.token_permissions(&account.user.role).await?;
        let context = Arc::clone(self);
        // Evicted sessions are invalidated and the events emitted even if the client disconnects.
        run_to_completion(async move {
            context.open_session(account, rehashed, permissions, request.origin).await
        })
        .await
    }

    /// Returns a hash of the same password at the current parameters. A failure leaves the rehash to a
    /// later login.
    async fn rehash(&self, verified: &TriedPassword) -> Option<Secret<String>> {
        match self.hasher.rehash(verified).await {
            Ok(hash) => Some(Secret::new(hash)),
            Err(error) => {
                tracing::debug!(%error, "password not rehashed at login");
                None
            }
        }
    }

    async fn open_session(
        &self,
        account: Account,
        rehashed: Option<Secret<String>>,
        permissions: Option<Vec<String>>,
        origin: Origin,
    ) -> Result<SignedIn> {
        let id = account.user.id;
        let now = self.time.now();
        let replacement = rehashed
            .as_ref()
            .map(|new| Rehashed { old: account.password_hash.expose(), new: new.expose() });
        let user = self.stores.users.signed_in(id, now, replacement).await?;
        let user = user.ok_or(ErrorKind::InvalidCredentials)?;
        if rehashed.is_some() {
            self.emit(EventKind::PasswordRehashed, EventActor::User(id), id);
        }
        let ends_at = (now + self.settings.session_ttl).floor_to_second();
        let current = self.next_refresh_token(now, ends_at);
        let device = origin.device.as_deref().unwrap_or_default();
        let session = Session {
            id: SessionId::generate(now),
            user: id,
            // The epoch that was read with the password: a later epoch ends this session.
            epoch: account.epoch.number,
            device: device.chars().take(DEVICE_LENGTH).collect(),
            address: origin.address,
            created_at: now,
            last_used_at: now,
            idle_at: current.expires_at,
            ends_at,
            current,
            previous: None,
        };
        // Signed before the commit, so that nothing after it can fail.
        let tokens = self.sign(&session, permissions, now)?;
        let most = self.settings.sessions_per_user;
        let evicted = self.stores.sessions.create(&session, most).await?;
        // ATOMIC: evicted sessions are invalid in this process before the login returns.
        self.validator.sessions_ended(id, &evicted).await;
        let event = |kind| Event::new(kind, now, EventActor::User(id)).on(id);
        let signed_in = event(EventKind::SignedIn).in_session(session.id);
        self.observer.observe(&signed_in.with_address(session.address));
        if !evicted.is_empty() {
            let kind = EventKind::SessionsEvicted(evicted.len() as u64);
            self.observer.observe(&event(kind).with_address(session.address));
        }
        Ok(SignedIn { user, session: session.id, tokens })
    }
}
