//! A clock that only the test moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::{Clock, Timestamp};

/// A clock that stands still until it is told to move. Clones share the same time.
///
/// ```
/// use std::time::Duration;
/// use goat_core::{Clock, testing::ManualClock};
///
/// let clock = ManualClock::default();
/// let before = clock.now();
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now().since(before), Duration::from_secs(60));
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock {
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    calendar: AtomicI64,
    stopwatch: AtomicU64,
}

impl Default for ManualClock {
    /// Stands at 2026-01-01T00:00:00Z.
    fn default() -> Self {
        let calendar = AtomicI64::new(1_767_225_600_000);
        Self { state: Arc::new(State { calendar, stopwatch: AtomicU64::new(0) }) }
    }
}

impl ManualClock {
    /// Lets time pass: the calendar and the stopwatch move together.
    ///
    /// # Panics
    ///
    /// If `by` is over half a million years.
    #[expect(clippy::expect_used, reason = "for tests, which should fail on it")]
    pub fn advance(&self, by: Duration) {
        let milliseconds = u64::try_from(by.as_millis()).expect("a duration within reason");
        self.state.stopwatch.fetch_add(milliseconds, Ordering::SeqCst);
        self.state.calendar.fetch_add(milliseconds.cast_signed(), Ordering::SeqCst);
    }

    /// Sets the calendar, as an administrator or a time server would; the stopwatch goes on.
    pub fn set_calendar(&self, to: Timestamp) {
        self.state.calendar.store(to.as_millis(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.state.calendar.load(Ordering::SeqCst))
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.state.stopwatch.load(Ordering::SeqCst))
    }
}
