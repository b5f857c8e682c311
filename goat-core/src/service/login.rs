//! Sign in: an e-mail address and a password for a session.
//!
//! Invariants: an attempt that is admitted costs exactly one verification, whoever it is about;
//! status shows only after a correct password; nothing after the session's commit can fail the
//! sign-in.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tracing::Instrument;

use crate::clock::Timestamp;
use crate::detached::run_to_completion;
use crate::error::{ErrorKind, Result};
use crate::event::{Event, EventActor, EventKind};
use crate::id::{SessionId, UserId};
use crate::limit::WithDecisions;
use crate::password::{TriedPassword, Verification};
use crate::secret::Secret;
use crate::session::{Origin, Session};
use crate::user::{Account, Email, Rehashed, Status, User};

use super::{Flows, TokenPair};

/// How much of a `User-Agent` is kept, in characters.
const DEVICE_LENGTH: usize = 256;
/// How often ended sessions are purged as users sign in, in milliseconds.
const PURGE_EVERY: i64 = 60_000;
/// How many ended sessions are purged at once.
const PURGE_MOST: u32 = 1000;

/// What somebody signs in with. Any two texts: whatever does not match is one answer.
#[derive(Clone, Debug)]
pub struct Login {
    /// The e-mail address, as typed.
    pub email: Secret<String>,
    /// The password, as typed.
    pub password: Secret<String>,
    /// From where.
    pub origin: Origin,
}

/// Somebody who has signed in.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// The user.
    pub user: User,
    /// The session.
    pub session: SessionId,
    /// The tokens.
    pub tokens: TokenPair,
}

impl Flows {
    pub(crate) async fn login(self: &Arc<Self>, request: Login) -> Result<WithDecisions<SignedIn>> {
        let address = request.origin.address;
        let decision =
            self.users.reserve(request.email.expose(), EventActor::Anonymous, address).await?;
        let mut known = None;
        match self.login_admitted(request, &mut known).await {
            Ok(value) => Ok(WithDecisions { value, decisions: Vec::from_iter(decision) }),
            Err(error) => {
                let kind = EventKind::SignInFailed(error.kind());
                let mut event = Event::new(kind, self.time().now(), EventActor::Anonymous);
                event.user = known;
                self.observer().observe(&event.from_address(address));
                Err(error.with_decisions(decision))
            }
        }
    }

    /// `known` is whose account it is about, if there is one: for the events, not for the answer.
    async fn login_admitted(
        self: &Arc<Self>,
        request: Login,
        known: &mut Option<UserId>,
    ) -> Result<SignedIn> {
        let users = &self.users;
        let account = match Email::parse(request.email.expose()) {
            Ok(email) => users.users.by_email(email.canonical()).await?,
            Err(_) => None,
        };
        *known = account.as_ref().map(|account| account.user.id);
        // TIMING: exactly one verification, against a dummy hash if there is no such account.
        let tried = TriedPassword::new(request.password.expose());
        let verified = users.verify(&tried, account.as_ref()).await?;
        let Some(account) = account.filter(|_| verified.matches()) else {
            return Err(ErrorKind::InvalidCredentials.into());
        };
        // TIMING: status only now, so that it shows to nobody who does not know the password.
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
        let flows = Arc::clone(self);
        // What the session displaces must be forgotten, and the event told, whoever has hung up.
        run_to_completion(async move {
            flows.open_session(account, rehashed, permissions, request.origin).await
        })
        .await
    }

    /// A newer hash of the same password. What cannot be hashed now is hashed at another sign-in.
    async fn rehash(&self, verified: &TriedPassword) -> Option<Secret<String>> {
        match self.users.hashing.rehash(verified).await {
            Ok(hash) => Some(Secret::new(hash)),
            Err(error) => {
                tracing::debug!(%error, "a password could not be hashed anew at sign-in");
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
        let users = &self.users;
        let id = account.user.id;
        let now = self.time().now();
        let replacement = rehashed
            .as_ref()
            .map(|new| Rehashed { old: account.password_hash.expose(), new: new.expose() });
        let user = users.users.signed_in(id, now, replacement).await?;
        let user = user.ok_or(ErrorKind::InvalidCredentials)?;
        if rehashed.is_some() {
            users.emit(EventKind::PasswordRehashed, EventActor::User(id), id);
        }
        let ends_at = (now + self.settings.session_ttl).floor_to_second();
        let current = self.next_refresh_token(now, ends_at);
        let device = origin.device.as_deref().unwrap_or_default();
        let session = Session {
            id: SessionId::generate(now),
            user: id,
            // The epoch that was read with the password: whatever raised it since kills this.
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
        let evicted = users.sessions.create(&session, self.settings.sessions_per_user).await?;
        // ATOMIC: forgotten here before the sign-in is answered; told to the others after.
        for other in &evicted {
            users.validator.forget(id, *other);
        }
        let event = |kind| Event::new(kind, now, EventActor::User(id)).on(id);
        let signed_in = event(EventKind::SignedIn).in_session(session.id);
        self.observer().observe(&signed_in.from_address(session.address));
        if !evicted.is_empty() {
            let kind = EventKind::SessionsEvicted(evicted.len() as u64);
            self.observer().observe(&event(kind).from_address(session.address));
        }
        self.after_login(id, evicted);
        Ok(SignedIn { user, session: session.id, tokens })
    }

    /// What is left to do once somebody is in: it delays nobody and fails nobody.
    fn after_login(&self, user: UserId, evicted: Vec<SessionId>) {
        let now = self.time().now();
        let purge = self.purge_is_due(now);
        if evicted.is_empty() && !purge {
            return;
        }
        let users = Arc::clone(&self.users);
        let rest = async move {
            users.validator.sessions_ended(user, &evicted).await;
            if purge && let Err(error) = users.sessions.purge(now, PURGE_MOST).await {
                tracing::debug!(%error, "ended sessions could not be purged; a later sign-in tries again");
            }
        };
        tokio::spawn(rest.in_current_span());
    }

    /// Whether it is time to purge, and then the caller's task to do so.
    fn purge_is_due(&self, now: Timestamp) -> bool {
        let now = now.as_millis();
        let before = self.purged_at.load(Ordering::Relaxed);
        now - before >= PURGE_EVERY
            && self
                .purged_at
                .compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}
