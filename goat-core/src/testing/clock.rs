//! Manual clock, moved only by the test.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::{Clock, Timestamp};

/// A clock that stops until the test moves it. Clones share the time.
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
    wall: AtomicI64,
    monotonic: AtomicU64,
}

impl Default for ManualClock {
    /// Starts at 2026-01-01T00:00:00Z.
    fn default() -> Self {
        let wall = AtomicI64::new(1_767_225_600_000);
        Self { state: Arc::new(State { wall, monotonic: AtomicU64::new(0) }) }
    }
}

impl ManualClock {
    /// Advances the wall clock and the monotonic clock together.
    ///
    /// # Panics
    ///
    /// If `by` is over half a million years.
    #[expect(clippy::expect_used, reason = "for tests, which should fail on it")]
    pub fn advance(&self, by: Duration) {
        let milliseconds =
            u64::try_from(by.as_millis()).expect("a duration of at most half a million years");
        self.state.monotonic.fetch_add(milliseconds, Ordering::SeqCst);
        self.state.wall.fetch_add(milliseconds.cast_signed(), Ordering::SeqCst);
    }

    /// Sets the wall clock, as an administrator or a time server would; the monotonic clock is
    /// unaffected.
    pub fn set_wall_clock(&self, to: Timestamp) {
        self.state.wall.store(to.as_millis(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.state.wall.load(Ordering::SeqCst))
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.state.monotonic.load(Ordering::SeqCst))
    }
}
