//! Time for conformance suites.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::{Clock, Timestamp};

use super::ManualClock;

/// Time that a suite advances, for the caller and for the store alike.
///
/// Time stops between two calls of [`TestTime::advance`], so that a suite expects results exact to the
/// millisecond and takes no time. A store that decides by its server's clock takes the caller's time
/// in tests, such as by an argument of its scripts or statements.
#[async_trait]
pub trait TestTime: fmt::Debug + Send + Sync {
    /// The wall-clock time.
    fn now(&self) -> Timestamp;

    /// The monotonic time to pass to the store.
    fn elapsed(&self) -> Duration;

    /// Advances time by this much, also for the store.
    async fn advance(&self, by: Duration);
}

#[async_trait]
impl TestTime for ManualClock {
    fn now(&self) -> Timestamp {
        Clock::now(self)
    }

    fn elapsed(&self) -> Duration {
        Clock::elapsed(self)
    }

    async fn advance(&self, by: Duration) {
        ManualClock::advance(self, by);
    }
}
