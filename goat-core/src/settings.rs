//! Settings: lifetimes, quotas and policies, with the reason for each default.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::password::PasswordPolicy;
use crate::quota::Quota;
use crate::user::Status;

/// How a goat behaves. Every value has a default that is safe; override what is to differ:
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
    /// How long an access token is good, from one minute to one hour. Default five minutes: a
    /// service that verifies offline sees a revocation at most that late.
    pub access_ttl: Duration,
    /// How long a session lives without a refresh. Default seven days.
    pub refresh_ttl: Duration,
    /// How long a session lives at most. Default thirty days (NIST SP 800-63B-4 §2.1.3).
    pub session_ttl: Duration,
    /// How long the direct predecessor of a refresh token is honoured again, at most sixty seconds;
    /// zero: never. Default thirty seconds: two tabs and a lost answer log nobody out.
    pub refresh_leeway: Duration,
    /// How many sessions a user has at most; the oldest goes when one more signs in. Default 50.
    pub sessions_per_user: u32,
    /// How long what was read of a session is trusted, if no invalidation of a change came. Zero: not at
    /// all. Default one second.
    pub cache_staleness: Duration,
    /// How many validator are remembered in the process at most. Default 100,000, some 40 MB.
    pub cache_entries: usize,
    /// Whether access tokens carry the permissions, for services that verify offline.
    pub access_token_permissions: bool,
    /// What becomes of somebody who signs up.
    pub signup: Signup,
    /// How often a password of one account may be tried, from wherever. Default 50 a minute: far
    /// under what guessing needs, and enough that locking out a person takes effort.
    pub account_quota: Option<Quota>,
    /// What a new password must be.
    pub passwords: PasswordPolicy,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            access_ttl: Duration::from_secs(5 * 60),
            refresh_ttl: Duration::from_secs(168 * 3600),
            session_ttl: Duration::from_secs(720 * 3600),
            refresh_leeway: Duration::from_secs(30),
            sessions_per_user: 50,
            cache_staleness: Duration::from_secs(1),
            cache_entries: 100_000,
            access_token_permissions: false,
            signup: Signup::Active,
            account_quota: Some(Quota::per_minute(50)),
            passwords: PasswordPolicy::default(),
        }
    }
}

/// What becomes of somebody who signs up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signup {
    /// They may sign in at once.
    Active,
    /// Somebody must activate them first.
    Inactive,
    /// Nobody can sign up.
    Closed,
}

impl Signup {
    /// The status of who signs up; none where nobody can.
    #[must_use]
    pub const fn status(self) -> Option<Status> {
        match self {
            Self::Active => Some(Status::Active),
            Self::Inactive => Some(Status::Inactive),
            Self::Closed => None,
        }
    }
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const TEN_YEARS: Duration = Duration::from_secs(3650 * 86_400);

impl Settings {
    pub(crate) fn check(&self) -> Result<()> {
        let bounds = [
            ("access_ttl", self.access_ttl, MINUTE, HOUR),
            ("refresh_ttl", self.refresh_ttl, self.access_ttl, TEN_YEARS),
            ("session_ttl", self.session_ttl, self.access_ttl, TEN_YEARS),
            ("refresh_leeway", self.refresh_leeway, Duration::ZERO, MINUTE),
            ("cache_staleness", self.cache_staleness, Duration::ZERO, MINUTE),
        ];
        for (name, value, least, most) in bounds {
            if value < least || value > most {
                return Err(Error::configuration(format!(
                    "{name} is {value:?} and must be from {least:?} to {most:?}"
                )));
            }
        }
        if self.access_ttl.subsec_nanos() != 0 {
            return Err(Error::configuration("access_ttl must be whole seconds"));
        }
        if self.sessions_per_user == 0 {
            return Err(Error::configuration("sessions_per_user must be at least 1"));
        }
        Ok(())
    }
}
