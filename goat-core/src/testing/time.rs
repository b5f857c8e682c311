//! Time as a conformance suite sees it: moved by hand where the store takes it from goat, waited
//! for where the store has a clock of its own.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::{Clock, SystemClock, Timestamp};

use super::ManualClock;

/// Lets time pass for a suite that does not know whose clock the store goes by.
#[async_trait]
pub trait TestTime: fmt::Debug + Send + Sync {
    /// The calendar, about as the store sees it: its clock may be some milliseconds away.
    fn now(&self) -> Timestamp;

    /// The stopwatch to hand to the store.
    fn elapsed(&self) -> Duration;

    /// Lets at least this much time pass, for the store too.
    async fn advance(&self, by: Duration);

    /// Whether time stands still between two calls of [`TestTime::advance`], so that a suite may
    /// ask for answers to the millisecond.
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

/// Time that is waited for: for stores that use their server's clock. Needs a Tokio runtime whose
/// own time is not paused.
#[derive(Clone, Copy, Debug, Default)]
pub struct WaitingTime(SystemClock);

#[async_trait]
impl TestTime for WaitingTime {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    async fn advance(&self, by: Duration) {
        // Two clocks do not tick together.
        tokio::time::sleep(by + Duration::from_millis(2)).await;
    }

    fn is_manual(&self) -> bool {
        false
    }
}
