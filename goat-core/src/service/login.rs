//! Login: exchanges an e-mail address and a password for a session.
//!
//! Invariants:
//! - an admitted attempt costs exactly one password verification, whether or not the account exists;
//! - an attempt counts per account, or per device token if a valid one for the account is presented:
//!   attackers that exhaust the account's limit do not lock out the owner's devices;
//! - the account's status is revealed only after a correct password;
//! - nothing after the commit of the session can fail the login.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::detached::run_to_completion;
use crate::error::{ErrorKind, Result};
use crate::event::{Event, EventActor, EventKind};
use crate::id::{SessionId, TokenId, UserId};
use crate::limit::{Decision, WithDecisions};
use crate::password::{TriedPassword, Verification};
use crate::secret::Secret;
use crate::session::{Origin, Session};
use crate::store::Rehashed;
use crate::token::DeviceClaims;
use crate::user::{Account, Email, Status, User};

use super::{Context, TokenPair};

/// Stored length of a `User-Agent`, in characters.
const DEVICE_LENGTH: usize = 256;

/// Lifetime of a device token. A lost one expires; a login returns a new one.
const DEVICE_TOKEN_TTL: Duration = Duration::from_secs(180 * 86_400);

/// A login request. Both texts are taken as typed; any pair that does not match is the same error.
#[derive(Clone, Debug)]
pub struct Login {
    /// The e-mail address.
    pub email: Secret<String>,
    /// The password.
    pub password: Secret<String>,
    /// The device token of an earlier login; one that is not valid for the account counts as none.
    pub device_token: Option<Secret<String>>,
    /// The origin of the request.
    pub origin: Origin,
}

impl Login {
    /// Creates a request without a device token.
    ///
    /// ```
    /// use goat_core::auth::Login;
    /// use goat_core::session::Origin;
    ///
    /// let request = Login::new("ann@example.org", "a long walk on a short pier", Origin::default());
    /// assert!(request.device_token.is_none());
    /// ```
    pub fn new(
        email: impl Into<Secret<String>>,
        password: impl Into<Secret<String>>,
        origin: impl Into<Origin>,
    ) -> Self {
        let (email, password) = (email.into(), password.into());
        Self { email, password, device_token: None, origin: origin.into() }
    }
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
    /// A new device token, for the next login from this device. It grants nothing.
    pub device_token: Secret<String>,
}

impl Context {
    pub(crate) async fn login(self: &Arc<Self>, request: Login) -> Result<WithDecisions<SignedIn>> {
        let address = request.origin.address;
        let (decisions, device) = self.acquire_attempt(&request).await?;
        let mut known = None;
        match self.login_admitted(request, device, &mut known).await {
            Ok(value) => Ok(WithDecisions { value, decisions }),
            Err(error) => {
                let kind = EventKind::SignInFailed(error.kind());
                let mut event = Event::new(kind, self.time.now(), EventActor::Anonymous);
                event.user = known;
                self.observer.observe(&event.with_address(address));
                Err(error.with_decisions(decisions))
            }
        }
    }

    /// Acquires one attempt from the limits of the account, or of a device token that is valid for it;
    /// returns the account too if it was read for that. A rejected attempt is an event.
    ///
    /// TIMING: before the password is verified, so that the quota bounds the verifications of parallel
    /// guesses too.
    async fn acquire_attempt(&self, request: &Login) -> Result<(Vec<Decision>, Option<Account>)> {
        let email = request.email.expose();
        let (limits, address) = (&self.credential_limits, request.origin.address);
        if let Some(device) = self.valid_device(request)
            && let Some(account) = self.account_of(email).await?
            && account.user.id == device.user
        {
            let acquired = limits.acquire_device(device.id).await;
            let decisions = self.note_limits(acquired, &EventActor::Anonymous, address)?;
            return Ok((decisions, Some(account)));
        }
        let acquired = limits.acquire_account(email).await;
        self.note_limits(acquired, &EventActor::Anonymous, address)?;
        Ok((Vec::new(), None))
    }

    /// Returns the claims of a valid device token, for any account.
    fn valid_device(&self, request: &Login) -> Option<DeviceClaims> {
        let token =
            request.device_token.as_ref().filter(|_| self.credential_limits.counts_accounts())?;
        self.tokens.verify_device(token.expose(), self.time.now()).ok()
    }

    async fn account_of(&self, email: &str) -> Result<Option<Account>> {
        match Email::parse(email) {
            Ok(email) => Ok(self.stores.users.by_email(email.canonical()).await?),
            Err(_) => Ok(None),
        }
    }

    /// Sets `known` to the account's user, if it exists: for the event, not for the response.
    async fn login_admitted(
        self: &Arc<Self>,
        request: Login,
        account: Option<Account>,
        known: &mut Option<UserId>,
    ) -> Result<SignedIn> {
        let account = match account {
            Some(account) => Some(account),
            None => self.account_of(request.email.expose()).await?,
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
        let user = &account.user;
        let permissions = self.token_permissions(user.id, &user.role).await?;
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
        let state = self.stores.users.signed_in(id, now, replacement).await?;
        let state = state.ok_or(ErrorKind::InvalidCredentials)?;
        self.validator.signed_in(id);
        if rehashed.is_some() {
            self.emit(EventKind::PasswordRehashed, EventActor::User(id), &state.user);
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
        let tokens = self.sign(&session, &state.user, permissions, state.revisions(), now)?;
        let user = state.user;
        let device_token = self.sign_device(id, now)?;
        let most = self.settings.sessions_per_user;
        let evicted = self.stores.sessions.create(&session, most).await?;
        // ATOMIC: evicted sessions are invalid in this process before the login returns.
        self.validator.sessions_ended(id, &evicted).await;
        self.credential_limits.reset_account(user.email.canonical()).await;
        let event = |kind| Event::new(kind, now, EventActor::User(id)).about(&user);
        let signed_in = event(EventKind::SignedIn).in_session(session.id);
        self.observer.observe(&signed_in.with_address(session.address));
        if !evicted.is_empty() {
            let kind = EventKind::SessionsEvicted(evicted.len() as u64);
            self.observer.observe(&event(kind).with_address(session.address));
        }
        Ok(SignedIn { user, session: session.id, tokens, device_token })
    }

    fn sign_device(&self, user: UserId, now: Timestamp) -> Result<Secret<String>> {
        let claims = DeviceClaims {
            user,
            id: TokenId::generate(now),
            issued_at: now,
            expires_at: now + DEVICE_TOKEN_TTL,
        };
        Ok(Secret::new(self.tokens.sign_device(&claims)?))
    }
}
