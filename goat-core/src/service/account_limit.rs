//! Account limit: bounds the password attempts per account, whether or not the account exists.

use std::borrow::Cow;

use crate::error::{Error, Result};
use crate::limit::{Decision, LimitKey, Limits};
use crate::quota::Quota;
use crate::user::Email;

/// The limit's name, as the headers show it.
const NAME: &str = "account";

/// Limits password attempts per account.
#[derive(Clone, Debug)]
pub(crate) struct AccountLimit {
    limits: Limits,
    quota: Option<Quota>,
}

impl AccountLimit {
    pub(crate) fn new(limits: Limits, quota: Option<Quota>) -> Self {
        Self { limits, quota }
    }

    /// Acquires one attempt, under one key for every spelling of the address.
    ///
    /// TIMING: before the password is verified, so that the quota bounds the verifications of parallel
    /// guesses too.
    pub(super) async fn acquire(&self, email: &str) -> Result<Option<Decision>> {
        let Some(quota) = self.quota else { return Ok(None) };
        let key = LimitKey::text(NAME, &Email::counting_key(email));
        let decision = self.limits.acquire(Cow::Borrowed(NAME), key, quota).await?;
        if decision.is_limited() {
            Err(Error::rate_limited(vec![decision]))
        } else {
            Ok(Some(decision))
        }
    }
}
