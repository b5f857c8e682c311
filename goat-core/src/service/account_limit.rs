//! Rate limit of password attempts per account, whether or not the account exists.

use std::borrow::Cow;

use crate::error::{Error, Result};
use crate::user::Email;

use super::{Decision, LimitKey, Limits, Quota};

/// The name of the limit in the `RateLimit` headers.
pub(crate) const NAME: &str = "account";

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

    /// Acquires an attempt on an account; all spellings of its address share one key.
    ///
    /// TIMING: this runs before the password is verified, so that parallel guesses reach the hasher
    /// at most as often as the quota allows.
    pub(crate) async fn reserve(&self, email: &str) -> Result<Option<Decision>> {
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

/// A result with the rate-limit decisions made on the way to it.
#[derive(Clone, Debug)]
pub struct WithDecisions<T> {
    /// The result.
    pub value: T,
    /// The decisions, for the `RateLimit` headers of the response.
    pub decisions: Vec<Decision>,
}
