//! Clock port, timestamps, and the monotonic time of all decisions.
//!
//! Invariant: the time that decisions use never runs backwards and never stops. Setting the wall
//! clock back by an hour must not make expired tokens or sessions valid again.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// An instant of the wall clock, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Creates a timestamp from milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_millis(milliseconds: i64) -> Self {
        Self(milliseconds)
    }

    /// Creates a timestamp from seconds since the Unix epoch, the unit of tokens.
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

    /// Truncates to whole seconds.
    #[must_use]
    pub const fn floor_to_second(self) -> Self {
        Self::from_seconds(self.as_seconds())
    }

    /// Time elapsed since `earlier`; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// Milliseconds of a duration, saturating at `i64::MAX`.
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

/// Port: a clock.
///
/// The two readings are independent: the wall clock may be set, the monotonic clock never.
/// [`SystemClock`] reads the machine's clocks; feature `testing` has a manual one.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The wall-clock time.
    fn now(&self) -> Timestamp;

    /// The monotonic time since this clock was started. Must never decrease.
    fn elapsed(&self) -> Duration;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// Starts the monotonic clock at zero.
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

/// The time of all decisions: the wall clock, but never set back. If the wall clock is set back, it
/// continues by the monotonic clock.
#[derive(Clone, Debug)]
pub struct Time {
    clock: Arc<dyn Clock>,
    /// Largest difference seen between wall clock and monotonic clock, in milliseconds.
    offset: Arc<AtomicI64>,
}

impl Time {
    /// Wraps a clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let offset = clock.now().0.saturating_sub(milliseconds(clock.elapsed()));
        Self { clock, offset: Arc::new(AtomicI64::new(offset)) }
    }

    /// The current time. Never earlier than a time returned before.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let elapsed = milliseconds(self.clock.elapsed());
        let seen = self.clock.now().0.saturating_sub(elapsed);
        // Adjacent readings jitter by a millisecond; the largest offset is kept.
        let known = self.offset.load(Ordering::Relaxed);
        let offset = if seen > known {
            self.offset.fetch_max(seen, Ordering::Relaxed).max(seen)
        } else {
            known
        };
        Timestamp(elapsed.saturating_add(offset))
    }

    /// The monotonic time, for durations and rate limits, which a set wall clock must not affect.
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
    fn time_does_not_run_backwards_when_the_wall_clock_is_set_back() {
        let clock = ManualClock::default();
        let time = Time::new(Arc::new(clock.clone()));
        let before = time.now();
        clock.set_wall_clock(before - Duration::from_secs(3600));
        assert_eq!(time.now(), before);
        clock.advance(Duration::from_secs(5));
        assert_eq!(time.now(), before + Duration::from_secs(5));
    }

    #[test]
    fn time_follows_a_wall_clock_that_is_set_forward() {
        let clock = ManualClock::default();
        let time = Time::new(Arc::new(clock.clone()));
        let before = time.now();
        clock.set_wall_clock(before + Duration::from_secs(3600));
        assert_eq!(time.now(), before + Duration::from_secs(3600));
    }

    #[test]
    fn seconds_round_down_also_before_the_epoch() {
        assert_eq!(Timestamp::from_millis(-1).as_seconds(), -1);
        assert_eq!(Timestamp::from_millis(1999).as_seconds(), 1);
        assert_eq!(Timestamp::from_millis(1999).floor_to_second().as_millis(), 1000);
    }
}
