//! The limit of attempts on one account's password, whether or not there is such an account.

use std::borrow::Cow;
use std::sync::Arc;

use crate::clock::Time;
use crate::error::{Error, Result};
use crate::event::{Doer, Event, EventKind, Observer};
use crate::user::Email;

use super::{Charge, LimitKey, Limits, Quota};

/// The limit's name, as the headers show it.
pub(crate) const NAME: &str = "account";

/// Counts attempts on accounts.
#[derive(Clone, Debug)]
pub(crate) struct AccountLimit {
    limits: Limits,
    quota: Option<Quota>,
    observer: Arc<dyn Observer>,
    time: Time,
}

impl AccountLimit {
    pub(crate) fn new(
        limits: Limits,
        quota: Option<Quota>,
        observer: Arc<dyn Observer>,
        time: Time,
    ) -> Self {
        Self { limits, quota, observer, time }
    }

    /// Reserves an attempt on an account, under one key for every spelling of its address.
    ///
    /// TIMING: before the password is verified, so that parallel guesses reach the hasher at most
    /// as often as the quota says.
    pub(crate) async fn reserve(&self, email: &str) -> Result<Option<Charge>> {
        let Some(quota) = self.quota else { return Ok(None) };
        let key = LimitKey::text(NAME, &Email::counting_key(email));
        let charge = self.limits.charge(Cow::Borrowed(NAME), key, quota).await?;
        if !charge.refuses() {
            return Ok(Some(charge));
        }
        // Whose account it is, is not said: the attempt may have been on one that does not exist.
        let limited = EventKind::Limited(NAME.to_owned());
        self.observer.observe(&Event::new(limited, self.time.now(), Doer::Anonymous));
        Err(Error::rate_limited(vec![charge]))
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

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;
    use crate::error::ErrorKind;
    use crate::store::memory::MemoryLimits;
    use crate::testing::ManualClock;

    #[derive(Debug, Default)]
    struct Seen(Mutex<Vec<EventKind>>);

    impl Observer for Seen {
        fn observe(&self, event: &Event) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event.kind.clone());
        }
    }

    #[tokio::test]
    async fn an_attempt_that_is_refused_is_an_event_and_one_that_is_not_is_none() {
        let time = Time::new(Arc::new(ManualClock::default()));
        let limits = Limits::new(Arc::new(MemoryLimits::default()), time.clone());
        let seen = Arc::new(Seen::default());
        let attempts =
            AccountLimit::new(limits, Some(Quota::per_minute(1)), Arc::clone(&seen) as _, time);

        assert!(attempts.reserve("ann@example.org").await.is_ok());
        assert_eq!(*seen.0.lock().expect("no panic"), []);
        let refused = attempts.reserve("ANN@example.org").await.expect_err("the second");
        assert_eq!(refused.kind(), ErrorKind::RateLimited);
        assert_eq!(*seen.0.lock().expect("no panic"), [EventKind::Limited("account".into())]);
    }
}
