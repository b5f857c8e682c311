//! The limit of attempts on one account's password, whether or not there is such an account.

use std::borrow::Cow;

use crate::error::{Error, Result};
use crate::user::Email;

use super::{Charge, LimitKey, Limits, Quota};

/// The limit's name, as the headers show it.
pub(crate) const NAME: &str = "account";

/// Counts attempts on accounts.
#[derive(Clone, Debug)]
pub(crate) struct AccountLimit {
    limits: Limits,
    quota: Option<Quota>,
}

impl AccountLimit {
    pub(crate) fn new(limits: Limits, quota: Option<Quota>) -> Self {
        Self { limits, quota }
    }

    /// Reserves an attempt on an account, under one key for every spelling of its address.
    ///
    /// TIMING: before the password is verified, so that parallel guesses reach the hasher at most
    /// as often as the quota says.
    pub(crate) async fn reserve(&self, email: &str) -> Result<Option<Charge>> {
        let Some(quota) = self.quota else { return Ok(None) };
        let key = LimitKey::text(NAME, &Email::counting_key(email));
        let charge = self.limits.charge(Cow::Borrowed(NAME), key, quota).await?;
        if charge.refuses() { Err(Error::rate_limited(vec![charge])) } else { Ok(Some(charge)) }
    }
}

/// A result, and the limits that were charged for it.
#[derive(Clone, Debug)]
pub struct Charged<T> {
    /// The result.
    pub value: T,
    /// What was charged, for whoever tells clients of their limits.
    pub charges: Vec<Charge>,
}
