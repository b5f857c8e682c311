//! Settings: lifetimes, quotas and policies, with the reason for each default.

use std::time::Duration;

use crate::access::Role;
use crate::error::{Error, Result};
use crate::key::KeyPrefix;
use crate::password::PasswordPolicy;
use crate::quota::Quota;
use crate::user::{Attributes, Status};

/// The settings of a goat. Every field has a safe default:
///
/// ```
/// use std::time::Duration;
/// use goat_core::Settings;
///
/// let settings = Settings { access_ttl: Duration::from_secs(600), ..Settings::default() };
/// # let _ = settings;
/// ```
#[derive(Clone, Debug)]
pub struct Settings {
    /// Lifetime of an access token, from one minute to one hour. Default five minutes: a service that
    /// verifies tokens offline sees a revocation at most that late.
    pub access_ttl: Duration,
    /// Idle lifetime of a session. Default seven days.
    pub refresh_ttl: Duration,
    /// Absolute lifetime of a session. Default thirty days (NIST SP 800-63B-4 §2.1.3).
    pub session_ttl: Duration,
    /// Grace period in which the direct predecessor of a refresh token is accepted again, at most sixty
    /// seconds; zero disables it. Default ten seconds, so that neither two tabs nor a lost response ends
    /// the session. It should not be shorter than the time in which a client gives up a request.
    pub refresh_leeway: Duration,
    /// How long a proof counts as recent, from one minute to one hour: changes of the user's own credentials
    /// require a recent one. Default five minutes.
    pub recent: Duration,
    /// Maximum number of sessions per user; a further login evicts the oldest. Default 50.
    pub sessions_per_user: u32,
    /// Whether API keys authenticate requests. Default `true`.
    pub keys: bool,
    /// The longest life of an API key, which is also the default, at least one minute. `None` for keys that
    /// may live without an end. Default 365 days.
    pub key_ttl: Option<Duration>,
    /// The text before the underscore of API keys, by which secret scanners find them. Keys with an earlier
    /// prefix stop working. Default `goat`.
    pub key_prefix: KeyPrefix,
    /// Maximum number of API keys per user, expired ones included. Default 50.
    pub keys_per_user: u32,
    /// Maximum age of cached session state if invalidations are lost. Zero disables the cache. Default
    /// one second.
    pub cache_staleness: Duration,
    /// Maximum number of entries in the session cache, each with the profile of its user. Default 100,000:
    /// about 50 MB, at most 130 MB with the longest e-mail addresses and role names, and 4 KiB more for each
    /// user with as many attributes as are allowed. An API key with scopes takes up to 50 KB, at a hundred
    /// permissions of the greatest length.
    pub cache_entries: usize,
    /// Whether access tokens carry the permissions, for services that verify offline.
    pub access_token_permissions: bool,
    /// The keys of the [attributes](crate::user::Attributes) that access tokens carry in the claim
    /// `goat_attributes`, for services that verify offline: as many of them, in this order, as fit into
    /// 1 KiB of JSON. Default: none.
    pub token_attributes: Vec<String>,
    /// The result of a sign-up.
    pub signup: Signup,
    /// The role given at sign-up. It must not have `full_access`. Default: the lowest role.
    pub signup_role: Option<Role>,
    /// The keys of the [attributes](crate::user::Attributes) that users may change themselves. Default:
    /// none.
    pub self_attributes: Vec<String>,
    /// Quota of logins per account, from all addresses. Default 50 per minute: far too few for guessing,
    /// and enough that locking out a user takes effort. Logins with a device token of the account have
    /// quotas of their own, unless neither this nor [`account_day_quota`](Self::account_day_quota) is
    /// set.
    pub account_quota: Option<Quota>,
    /// Quota of logins per account over a longer time; a successful login resets it. Default 100 per
    /// day (NIST SP 800-63B-4 §3.2.2).
    pub account_day_quota: Option<Quota>,
    /// Quota of attempts at the current password, per session. Default ten per minute. Besides, a
    /// session has 100 attempts per day until one is right.
    pub password_check_quota: Option<Quota>,
    /// Quota of changes of an e-mail address, per client address: like sign-up, a change reveals
    /// whether an address is taken. Default five per minute.
    ///
    /// The limit is named `auth` and its counter `signup`, so that a layer in front of sign-up shares
    /// the counter: `goat.limit(quota).by_address().named("auth").counted_as("signup")`, with the same
    /// quota.
    pub change_email_quota: Option<Quota>,
    /// Quota of messages that requests can cause, per recipient, whether or not an account has the address.
    /// Default three per hour. Notices to the owner of an account do not count.
    pub mail_quota: Option<Quota>,
    /// Lifetime of the links and codes that confirm an e-mail address, from one minute to 24 hours, the
    /// default.
    pub confirm_ttl: Duration,
    /// Lifetime of the links and codes that set a forgotten password, from one minute to 24 hours (NIST
    /// SP 800-63B-4 §4.2.1.2). Default thirty minutes.
    pub recovery_ttl: Duration,
    /// Lifetime of invitations, from one minute to seven days. Default three days.
    pub invite_ttl: Duration,
    /// Whether a code sent by e-mail is a first proof at sign-in, for users with a verified address. Default
    /// `false`.
    pub email_sign_in: bool,
    /// The policy for new passwords.
    pub passwords: PasswordPolicy,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            access_ttl: Duration::from_secs(5 * 60),
            refresh_ttl: Duration::from_secs(168 * 3600),
            session_ttl: Duration::from_secs(720 * 3600),
            refresh_leeway: Duration::from_secs(10),
            recent: Duration::from_secs(5 * 60),
            sessions_per_user: 50,
            keys: true,
            key_ttl: Some(Duration::from_secs(8760 * 3600)),
            key_prefix: KeyPrefix::default(),
            keys_per_user: 50,
            cache_staleness: Duration::from_secs(1),
            cache_entries: 100_000,
            access_token_permissions: false,
            token_attributes: Vec::new(),
            signup: Signup::Active,
            signup_role: None,
            self_attributes: Vec::new(),
            account_quota: Some(Quota::per_minute(50)),
            account_day_quota: Some(Quota::per_day(100)),
            password_check_quota: Some(Quota::per_minute(10)),
            change_email_quota: Some(Quota::per_minute(5)),
            mail_quota: Some(Quota::per_hour(3)),
            confirm_ttl: DAY,
            recovery_ttl: Duration::from_secs(30 * 60),
            invite_ttl: Duration::from_secs(72 * 3600),
            email_sign_in: false,
            passwords: PasswordPolicy::default(),
        }
    }
}

/// The result of a sign-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signup {
    /// The user can log in at once.
    Active,
    /// The user must be activated first.
    Inactive,
    /// The user proves the e-mail address first, and sets the password in the same step: no account exists
    /// before that. [`Goat::sign_up`](crate::Goat::sign_up), which takes the password at once, is closed.
    Confirmed,
    /// Sign-up is disabled.
    Closed,
}

impl Signup {
    /// Returns the status of a user who signs up with a password at once; `None` if that is not possible.
    #[must_use]
    pub const fn status(self) -> Option<Status> {
        match self {
            Self::Active => Some(Status::Active),
            Self::Inactive => Some(Status::Inactive),
            Self::Confirmed | Self::Closed => None,
        }
    }
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const WEEK: Duration = Duration::from_secs(168 * 3600);
const TEN_YEARS: Duration = Duration::from_secs(3650 * 86_400);

impl Settings {
    pub(crate) fn check(&self) -> Result<()> {
        let bounds = [
            ("access_ttl", self.access_ttl, MINUTE, HOUR),
            ("refresh_ttl", self.refresh_ttl, self.access_ttl, TEN_YEARS),
            ("session_ttl", self.session_ttl, self.access_ttl, TEN_YEARS),
            ("refresh_leeway", self.refresh_leeway, Duration::ZERO, MINUTE),
            ("recent", self.recent, MINUTE, HOUR),
            ("cache_staleness", self.cache_staleness, Duration::ZERO, MINUTE),
            ("confirm_ttl", self.confirm_ttl, MINUTE, DAY),
            ("recovery_ttl", self.recovery_ttl, MINUTE, DAY),
            ("invite_ttl", self.invite_ttl, MINUTE, WEEK),
        ];
        let key_ttl = self.key_ttl.map(|ttl| ("key_ttl", ttl, MINUTE, TEN_YEARS));
        for (name, value, least, most) in bounds.into_iter().chain(key_ttl) {
            if value < least || value > most {
                return Err(Error::configuration(format!(
                    "{name} is {value:?} and must be from {least:?} to {most:?}"
                )));
            }
        }
        if self.access_ttl.subsec_nanos() != 0 {
            return Err(Error::configuration("access_ttl must be whole seconds"));
        }
        let mut keys = self.self_attributes.iter().chain(&self.token_attributes);
        if let Some(key) = keys.find(|key| !Attributes::is_key(key)) {
            return Err(Error::configuration(format!("{key:?} is not the key of an attribute")));
        }
        if self.sessions_per_user == 0 {
            return Err(Error::configuration("sessions_per_user must be at least 1"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_within_their_bounds() {
        Settings::default().check().expect("sound defaults");
    }

    #[test]
    fn lifetimes_of_links_and_codes_are_bounded() {
        type Field = fn(&mut Settings) -> &mut Duration;
        let fields: [(&str, Field, Duration); 3] = [
            ("confirm_ttl", |settings| &mut settings.confirm_ttl, DAY),
            ("recovery_ttl", |settings| &mut settings.recovery_ttl, DAY),
            ("invite_ttl", |settings| &mut settings.invite_ttl, WEEK),
        ];
        let step = Duration::from_millis(1);
        for (name, field, most) in fields {
            let check = |value: Duration| {
                let mut settings = Settings::default();
                *field(&mut settings) = value;
                settings.check()
            };
            for value in [MINUTE, most] {
                check(value).expect(name);
            }
            for value in [Duration::ZERO, MINUTE - step, most + step] {
                let error = check(value).expect_err(name);
                assert!(error.to_string().contains(name), "{error}");
            }
        }
    }

    #[test]
    fn a_password_at_once_opens_an_account_only_where_nothing_is_confirmed() {
        assert_eq!(Signup::Active.status(), Some(Status::Active));
        assert_eq!(Signup::Inactive.status(), Some(Status::Inactive));
        assert_eq!(Signup::Confirmed.status(), None);
        assert_eq!(Signup::Closed.status(), None);
    }
}
