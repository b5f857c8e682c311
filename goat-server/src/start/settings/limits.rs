//! Settings of the rate limits.

use goat_core::Quota;

use super::reader::Reader;
use super::{table, values};

/// Ratio of the login limit per account to the limit per client address: low enough to prevent
/// guessing, and high enough that locking a user out takes many addresses.
const ACCOUNT_FACTOR: u32 = 10;

/// Rate limits; `None` is off. The default is that of each setting.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LimitSettings {
    /// `GOAT_RATE_LIMIT_AUTH`: login, sign-up and the public routes of mail by address, and change-email with sign-up.
    pub auth: Option<Quota>,
    /// `GOAT_RATE_LIMIT_ACCOUNT`: login by account.
    pub account: Option<Quota>,
    /// `GOAT_RATE_LIMIT_ACCOUNT_DAY`: login by account, until one succeeds.
    pub account_day: Option<Quota>,
    /// `GOAT_RATE_LIMIT_REFRESH`: refresh.
    pub refresh: Option<Quota>,
    /// `GOAT_RATE_LIMIT_PUBLIC`: other public routes and unmatched paths.
    pub public: Option<Quota>,
    /// `GOAT_RATE_LIMIT_ADDRESS`: protected routes, before authentication.
    pub address: Option<Quota>,
    /// `GOAT_RATE_LIMIT_USER`: protected routes, after authentication.
    pub user: Option<Quota>,
    /// `GOAT_RATE_LIMIT_VERIFY`: verification of tokens for other services, by user.
    pub verify: Option<Quota>,
    /// `GOAT_RATE_LIMIT_SESSION_CONTROL`: logout, step-up, change-password and revocation, by session.
    pub session_control: Option<Quota>,
    /// `GOAT_RATE_LIMIT_PASSWORD_CHECK`: the current password, by session.
    pub password_check: Option<Quota>,
    /// `GOAT_RATE_LIMIT_MAIL`: messages that requests cause, by recipient.
    pub mail: Option<Quota>,
    /// `GOAT_RATE_LIMIT_KEYS`: maximum number of keys in process memory.
    pub keys: usize,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self::read(&mut Reader::default())
    }
}

impl LimitSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let auth = reader.quota(&table::RATE_LIMIT_AUTH);
        let account = reader.optional(&table::RATE_LIMIT_ACCOUNT, values::quota);
        let day = reader.quota(&table::RATE_LIMIT_ACCOUNT_DAY);
        let has_day = auth.is_some() || reader.is_given(&table::RATE_LIMIT_ACCOUNT_DAY);
        Self {
            auth,
            account: account.unwrap_or_else(|| auth.and_then(of_account)),
            account_day: day.filter(|_| has_day),
            refresh: reader.quota(&table::RATE_LIMIT_REFRESH),
            public: reader.quota(&table::RATE_LIMIT_PUBLIC),
            address: reader.quota(&table::RATE_LIMIT_ADDRESS),
            user: reader.quota(&table::RATE_LIMIT_USER),
            verify: reader.quota(&table::RATE_LIMIT_VERIFY),
            session_control: reader.quota(&table::RATE_LIMIT_SESSION_CONTROL),
            password_check: reader.quota(&table::RATE_LIMIT_PASSWORD_CHECK),
            mail: reader.quota(&table::RATE_LIMIT_MAIL),
            keys: reader.count(&table::RATE_LIMIT_KEYS),
        }
    }

    /// Returns the names of the settings whose limits are off.
    pub(crate) fn off(&self) -> impl Iterator<Item = &'static str> {
        let limits = [
            (&table::RATE_LIMIT_AUTH, self.auth),
            (&table::RATE_LIMIT_ACCOUNT, self.account),
            (&table::RATE_LIMIT_ACCOUNT_DAY, self.account_day),
            (&table::RATE_LIMIT_REFRESH, self.refresh),
            (&table::RATE_LIMIT_PUBLIC, self.public),
            (&table::RATE_LIMIT_ADDRESS, self.address),
            (&table::RATE_LIMIT_USER, self.user),
            (&table::RATE_LIMIT_VERIFY, self.verify),
            (&table::RATE_LIMIT_SESSION_CONTROL, self.session_control),
            (&table::RATE_LIMIT_PASSWORD_CHECK, self.password_check),
            (&table::RATE_LIMIT_MAIL, self.mail),
        ];
        limits.into_iter().filter(|(_, quota)| quota.is_none()).map(|(setting, _)| setting.name)
    }
}

/// Returns the default limit per account.
fn of_account(auth: Quota) -> Option<Quota> {
    Quota::checked(auth.limit().saturating_mul(ACCOUNT_FACTOR), auth.window())
}
