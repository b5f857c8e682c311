//! Login: an e-mail address and a password are a proof, which opens a session.
//!
//! Invariants:
//! - an admitted attempt costs exactly one password verification, whether or not the account exists;
//! - an attempt counts per account, or per device token if a valid one for the account is presented:
//!   attackers that exhaust the account's limit do not lock out the owner's devices;
//! - the account's status is revealed only after a correct password.

use std::sync::Arc;

use crate::error::{ErrorKind, Result};
use crate::event::EventActor;
use crate::id::UserId;
use crate::limit::{Decision, WithDecisions};
use crate::password::{TriedPassword, Verification};
use crate::proof::{Method, Proof};
use crate::secret::Secret;
use crate::session::Origin;
use crate::token::DeviceClaims;
use crate::user::{Account, Email, UserKind};

use super::open_session::{SignIn, Subject};
use super::pending_sign_in::LoginLimits;
use super::{Context, SignedIn};

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

/// A login attempt that the limits admitted.
struct Admitted {
    decisions: Vec<Decision>,
    /// The account, if it was read for the limits.
    account: Option<Account>,
    limits: LoginLimits,
}

impl Context {
    pub(crate) async fn login(self: &Arc<Self>, request: Login) -> Result<WithDecisions<SignedIn>> {
        let address = request.origin.address;
        let Admitted { decisions, account, limits } = self.acquire_attempt(&request).await?;
        let mut known = None;
        match self.login_admitted(request, account, limits, &mut known).await {
            Ok(value) => Ok(WithDecisions { value, decisions }),
            Err(error) => {
                let (by, actor) = (Method::Password.into(), EventActor::Anonymous);
                let subject = Subject { user: known, by, address, actor };
                self.note_failed_sign_in(error.kind(), subject);
                Err(error.with_decisions(decisions))
            }
        }
    }

    /// Acquires one attempt from the limits of the account, or of a device token that is valid for it;
    /// returns the account too if it was read for that. A rejected attempt is an event.
    ///
    /// TIMING: before the password is verified, so that the quota bounds the verifications of parallel
    /// guesses too.
    async fn acquire_attempt(&self, request: &Login) -> Result<Admitted> {
        let email = request.email.expose();
        let (limits, address) = (&self.credential_limits, request.origin.address);
        if let Some(device) = self.valid_device(request)
            && let Some(account) = self.account_of(email).await?
            && account.user.id == device.user
        {
            let acquired = limits.acquire_device(device.id).await;
            let decisions = self.note_limits(acquired, &EventActor::Anonymous, address)?;
            let limits = LoginLimits::Device(device.id);
            return Ok(Admitted { decisions, account: Some(account), limits });
        }
        let acquired = limits.acquire_account(email).await;
        self.note_limits(acquired, &EventActor::Anonymous, address)?;
        let limits = LoginLimits::Account;
        Ok(Admitted { decisions: Vec::new(), account: None, limits })
    }

    /// Returns the claims of a valid device token, for any account.
    fn valid_device(&self, request: &Login) -> Option<DeviceClaims> {
        let token =
            request.device_token.as_ref().filter(|_| self.credential_limits.counts_accounts())?;
        self.tokens.verify_device(token.expose(), self.time.now()).ok()
    }

    /// Whether a device token is valid for the user.
    fn knows_device(&self, user: UserId, token: &Option<Secret<String>>) -> bool {
        let claims = token.as_ref().map(|token| token.expose());
        let claims =
            claims.and_then(|token| self.tokens.verify_device(token, self.time.now()).ok());
        claims.is_some_and(|claims| claims.user == user)
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
        limits: LoginLimits,
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
        // A service account has no password; one that the database has for it opens nothing.
        let is_person = |account: &Account| account.user.kind() == UserKind::Person;
        let Some(account) = account.filter(is_person).filter(|_| verified.matches()) else {
            return Err(ErrorKind::InvalidCredentials.into());
        };
        let at = self.time.now();
        let proof = Proof::by_password(account.user.id, account.epoch.number, at);
        let outdated = (verified == Verification::MatchesOutdated).then_some(tried);
        let is_new_device =
            self.mail.is_some() && !self.knows_device(account.user.id, &request.device_token);
        let origin = request.origin;
        let sign_in = SignIn::new(account, proof, origin, limits);
        self.open_session_of(SignIn { outdated, is_new_device, ..sign_in }).await
    }
}
