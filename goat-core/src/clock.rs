//! Time: an instant on the calendar, the port that tells it, and the steady time that goat decides
//! by.
//!
//! Invariant: the time that goat decides by never runs backwards and never stands still. A wall
//! clock that is set back an hour must revive nothing that had expired.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// An instant on the calendar, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_millis(milliseconds: i64) -> Self {
        Self(milliseconds)
    }

    /// From seconds since the Unix epoch, as tokens carry them.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The same instant without its fraction of a second.
    #[must_use]
    pub const fn floor_to_second(self) -> Self {
        Self::from_seconds(self.as_seconds())
    }

    /// How long after `earlier` this is; zero if it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// Milliseconds of a duration, at most `i64::MAX`.
fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(milliseconds(duration)))
    }
}

impl std::ops::Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(milliseconds(duration)))
    }
}

/// The port that tells the time.
///
/// The two readings are independent: an administrator may set the calendar, nobody sets the
/// stopwatch. [`SystemClock`] is the machine's; the `testing` feature has one that a test moves.
pub trait Clock: fmt::Debug + Send + Sync {
    /// What the calendar says.
    fn now(&self) -> Timestamp;

    /// How long this clock has been running. Must never decrease.
    fn elapsed(&self) -> Duration;
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// Starts its stopwatch.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the Clock")]
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::start()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the Clock")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(milliseconds(since))
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

/// The time that goat decides by: the calendar's, except that it follows the stopwatch when the
/// calendar is set back.
#[derive(Clone, Debug)]
pub struct Time {
    clock: Arc<dyn Clock>,
    /// The largest difference seen between calendar and stopwatch, in milliseconds.
    offset: Arc<AtomicI64>,
}

impl Time {
    /// Steadies a clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let offset = clock.now().0.saturating_sub(milliseconds(clock.elapsed()));
        Self { clock, offset: Arc::new(AtomicI64::new(offset)) }
    }

    /// The instant to decide by. Never before an instant that this returned earlier.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let elapsed = milliseconds(self.clock.elapsed());
        let seen = self.clock.now().0.saturating_sub(elapsed);
        // Two readings a moment apart jitter by a millisecond; the largest wins and stays.
        let known = self.offset.load(Ordering::Relaxed);
        let offset = if seen > known {
            self.offset.fetch_max(seen, Ordering::Relaxed).max(seen)
        } else {
            known
        };
        Timestamp(elapsed.saturating_add(offset))
    }

    /// The stopwatch, for durations and for limits that nobody's calendar may stretch.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ManualClock;

    #[test]
    fn a_calendar_set_back_does_not_take_time_back() {
        let clock = ManualClock::default();
        let time = Time::new(Arc::new(clock.clone()));
        let before = time.now();
        clock.set_calendar(before - Duration::from_secs(3600));
        assert_eq!(time.now(), before);
        clock.advance(Duration::from_secs(5));
        assert_eq!(time.now(), before + Duration::from_secs(5));
    }

    #[test]
    fn a_calendar_set_forward_is_followed() {
        let clock = ManualClock::default();
        let time = Time::new(Arc::new(clock.clone()));
        let before = time.now();
        clock.set_calendar(before + Duration::from_secs(3600));
        assert_eq!(time.now(), before + Duration::from_secs(3600));
    }

    #[test]
    fn seconds_round_down_also_before_the_epoch() {
        assert_eq!(Timestamp::from_millis(-1).as_seconds(), -1);
        assert_eq!(Timestamp::from_millis(1999).as_seconds(), 1);
        assert_eq!(Timestamp::from_millis(1999).floor_to_second().as_millis(), 1000);
    }
}
