//! Limits of password attempts and of what they reveal: per account, per device token, per session, and
//! per client address.
//!
//! Each attempt counts before the password is verified. A counter of a day has a sibling key, so that
//! both counters of an attempt are acquired in one call, and a right password resets it.

use std::net::IpAddr;

use crate::error::{Error, Result};
use crate::id::{SessionId, TokenId, UserId};
use crate::limit::{Decision, LimitKey, Limits};
use crate::quota::Quota;
use crate::settings::Settings;
use crate::user::Email;

/// The names of the limits, as the headers show them.
const ACCOUNT: &str = "account";
const ACCOUNT_DAY: &str = "account-day";
const DEVICE: &str = "device";
const DEVICE_DAY: &str = "device-day";
const PASSWORD_CHECK: &str = "password-check";
const AUTH: &str = "auth";
const MAIL: &str = "mail";

/// The counters of notices, which no header shows: of a wrong second factor and of a new device. Each sign-in
/// would cause one, and many would bury the others.
const WRONG_FACTOR: &str = "wrong-factor-notice";
const WRONG_FACTOR_QUOTA: Quota = Quota::per_hour(1);
const NEW_DEVICE: &str = "new-device-notice";
const NEW_DEVICE_QUOTA: Quota = Quota::per_hour(3);

/// The counter of sign-up, which reveals the same: whether an address is taken.
const SIGN_UP: &str = "signup";

/// Attempts with one device token.
const DEVICE_QUOTA: Quota = Quota::per_minute(10);
const DEVICE_DAY_QUOTA: Quota = Quota::per_day(50);

/// Wrong passwords in one session (NIST SP 800-63B-4 §3.2.2).
const PASSWORD_CHECK_DAY_QUOTA: Quota = Quota::per_day(100);

/// Limits of password attempts.
#[derive(Clone, Debug)]
pub(crate) struct CredentialLimits {
    limits: Limits,
    account: Option<Quota>,
    account_day: Option<Quota>,
    password_check: Option<Quota>,
    change_email: Option<Quota>,
    mail: Option<Quota>,
}

impl CredentialLimits {
    pub(crate) fn new(limits: Limits, settings: &Settings) -> Self {
        Self {
            limits,
            account: settings.account_quota,
            account_day: settings.account_day_quota,
            password_check: settings.password_check_quota,
            change_email: settings.change_email_quota,
            mail: settings.mail_quota,
        }
    }

    /// Whether logins count per account, and so device tokens matter.
    pub(super) fn counts_accounts(&self) -> bool {
        self.account.is_some() || self.account_day.is_some()
    }

    /// Acquires one login attempt, under one key for every spelling of the address. The decisions of an
    /// admitted attempt are not returned: they would reveal other attempts on the account.
    pub(super) async fn acquire_account(&self, email: &str) -> Result<()> {
        let key = account_key(email);
        let minute = self.account.map(|quota| (ACCOUNT, key, quota));
        let day = self.account_day.map(|quota| (ACCOUNT_DAY, day_of(key), quota));
        let decisions = match (minute, day) {
            (None, None) => return Ok(()),
            (Some(minute), Some(day)) => Vec::from(self.limits.acquire_each([minute, day]).await?),
            (Some((limit, key, quota)), None) | (None, Some((limit, key, quota))) => {
                vec![self.limits.acquire(limit, key, quota).await?]
            }
        };
        admitted(decisions).map(drop)
    }

    /// Acquires one letter to a recipient, under one key for every spelling of the address. The decision of
    /// an admitted one is not returned: it would reveal other requests.
    pub(super) async fn acquire_letter(&self, to: &str) -> Result<()> {
        let Some(quota) = self.mail else { return Ok(()) };
        let key = LimitKey::text(MAIL, &Email::counting_key(to));
        one_admitted(self.limits.acquire(MAIL, key, quota).await?).map(drop)
    }

    /// Whether the owner of an account may be told of another wrong second factor.
    pub(super) async fn may_tell_of_factor(&self, user: UserId) -> bool {
        self.may_tell(WRONG_FACTOR, user, WRONG_FACTOR_QUOTA).await
    }

    /// Whether the owner of an account may be told of another new device.
    pub(super) async fn may_tell_of_device(&self, user: UserId) -> bool {
        self.may_tell(NEW_DEVICE, user, NEW_DEVICE_QUOTA).await
    }

    /// A limiter that does not answer says no: the event has it.
    async fn may_tell(&self, limit: &'static str, user: UserId, quota: Quota) -> bool {
        let acquired = self.limits.acquire(limit, LimitKey::user(limit, user), quota).await;
        acquired.is_ok_and(|decision| !decision.is_limited())
    }

    /// Forgets the attempts on an account, those of the minute and those of the day.
    pub(super) async fn reset_attempts(&self, email: &str) {
        if let Some(quota) = self.account {
            self.reset(account_key(email), quota).await;
        }
        self.reset_account(email).await;
    }

    /// Forgets the day's attempts on an account.
    pub(super) async fn reset_account(&self, email: &str) {
        if let Some(quota) = self.account_day {
            self.reset(day_of(account_key(email)), quota).await;
        }
    }

    /// Acquires one login attempt of a device token.
    pub(super) async fn acquire_device(&self, token: TokenId) -> Result<Vec<Decision>> {
        let key = LimitKey::sequence(DEVICE, &[&token.as_u128().to_be_bytes()]);
        let minute = (DEVICE, key, DEVICE_QUOTA);
        let day = (DEVICE_DAY, day_of(key), DEVICE_DAY_QUOTA);
        admitted(self.limits.acquire_each([minute, day]).await?.into())
    }

    /// Acquires one attempt at the current password of a session's user.
    pub(super) async fn acquire_password_check(&self, session: SessionId) -> Result<Decision> {
        let key = LimitKey::session(PASSWORD_CHECK, session);
        let day = (day_of(key), PASSWORD_CHECK_DAY_QUOTA);
        let decision = match self.password_check {
            Some(quota) => self.limits.acquire_both(PASSWORD_CHECK, [(key, quota), day]).await?,
            None => self.limits.acquire(PASSWORD_CHECK, day.0, day.1).await?,
        };
        one_admitted(decision)
    }

    /// Forgets the day's attempts of a session.
    pub(super) async fn reset_password_check(&self, session: SessionId) {
        let key = day_of(LimitKey::session(PASSWORD_CHECK, session));
        self.reset(key, PASSWORD_CHECK_DAY_QUOTA).await;
    }

    /// Acquires one change of an e-mail address from the client's address, in the counter of sign-up.
    pub(super) async fn acquire_change_email(
        &self,
        address: Option<IpAddr>,
    ) -> Result<Option<Decision>> {
        let (Some(quota), Some(address)) = (self.change_email, address) else { return Ok(None) };
        let decision = self.limits.acquire_by_address(AUTH, SIGN_UP, address, quota).await?;
        one_admitted(decision).map(Some)
    }

    /// A failure costs its user no more than a later reset would have given back.
    async fn reset(&self, key: LimitKey, quota: Quota) {
        if let Err(error) = self.limits.reset(key, quota).await {
            tracing::warn!(%error, "password attempts not reset after a right password");
        }
    }
}

fn account_key(email: &str) -> LimitKey {
    LimitKey::text(ACCOUNT, &Email::counting_key(email))
}

fn day_of(key: LimitKey) -> LimitKey {
    key.sibling(b"day")
}

fn one_admitted(decision: Decision) -> Result<Decision> {
    if decision.is_limited() { Err(Error::rate_limited(vec![decision])) } else { Ok(decision) }
}

/// If a limit refuses, none was charged, and the error has the limits that refuse.
fn admitted(decisions: Vec<Decision>) -> Result<Vec<Decision>> {
    if !decisions.iter().any(Decision::is_limited) {
        return Ok(decisions);
    }
    Err(Error::rate_limited(decisions.into_iter().filter(Decision::is_limited).collect()))
}
