//! Time for conformance suites: a manual clock, or real time for stores with a clock of their own.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::{Clock, SystemClock, Timestamp};

use super::ManualClock;

/// Advances time for a suite, independently of the store's clock.
#[async_trait]
pub trait TestTime: fmt::Debug + Send + Sync {
    /// The wall-clock time; the store's clock may differ by some milliseconds.
    fn now(&self) -> Timestamp;

    /// The monotonic time to pass to the store.
    fn elapsed(&self) -> Duration;

    /// Advances time by at least this much, also for the store.
    async fn advance(&self, by: Duration);

    /// Whether time stops between two calls of [`TestTime::advance`], so that a suite may expect
    /// results exact to the millisecond.
    fn is_manual(&self) -> bool;
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

    fn is_manual(&self) -> bool {
        true
    }
}

/// Real time, for stores that use their server's clock. Requires a Tokio runtime whose time is not
/// paused.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealTime(SystemClock);

#[async_trait]
impl TestTime for RealTime {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    async fn advance(&self, by: Duration) {
        // Allow for the difference between two clocks.
        tokio::time::sleep(by + Duration::from_millis(2)).await;
    }

    fn is_manual(&self) -> bool {
        false
    }
}
