//! Clock port, timestamps, and the monotonic time of all decisions.
//!
//! Invariant: the time that decisions use never runs backwards and never stops. Setting the wall
//! clock back by an hour must not make expired tokens or sessions valid again. Time is then ahead of
//! the calendar until that catches up or the process restarts, which is logged, counted and visible.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
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
/// continues by the monotonic clock, and is [ahead](Time::is_ahead) of the calendar.
///
/// Clones share the state.
#[derive(Clone, Debug)]
pub struct Time {
    clock: Arc<dyn Clock>,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    /// Largest difference seen between wall clock and monotonic clock, in milliseconds.
    offset: AtomicI64,
    /// Whether the time was ahead of the wall clock at the last reading.
    is_ahead: AtomicBool,
    /// How often it came to be.
    steps_back: AtomicU64,
}

/// One reading of both clocks, in milliseconds.
struct Reading {
    elapsed: i64,
    /// The offset of the wall clock to the monotonic clock.
    offset: i64,
}

impl Reading {
    fn of(clock: &dyn Clock) -> Self {
        // TIMING: a thread that is suspended between the two must see the wall clock too early: a clock
        // that is read too late would put the time ahead for good.
        let wall = clock.now().0;
        let elapsed = milliseconds(clock.elapsed());
        Self { elapsed, offset: wall.saturating_sub(elapsed) }
    }
}

impl Time {
    /// The largest difference to the wall clock at which this time does not count as
    /// [ahead](Time::is_ahead): what verifiers of tokens tolerate
    /// [by default](crate::token::TokenSettings::DEFAULT_CLOCK_LEEWAY).
    pub const TOLERANCE: Duration = Duration::from_secs(5);

    /// Wraps a clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let offset = Reading::of(clock.as_ref()).offset;
        let state = State {
            offset: AtomicI64::new(offset),
            is_ahead: AtomicBool::new(false),
            steps_back: AtomicU64::new(0),
        };
        Self { clock, state: Arc::new(state) }
    }

    /// The current time. Never earlier than a time returned before.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let (reading, offset) = self.read();
        Timestamp(reading.elapsed.saturating_add(offset))
    }

    /// How far this time is ahead of the wall clock, because that was set back, for one after it had
    /// jumped ahead. Tokens are dated by this time, so that other nodes and verifiers refuse them as not
    /// valid yet; what it has judged as expired stays expired. A restart follows the wall clock again.
    #[must_use]
    pub fn ahead(&self) -> Duration {
        let (reading, offset) = self.read();
        Timestamp(offset).since(Timestamp(reading.offset))
    }

    /// Whether this time is ahead of the wall clock by more than [`Time::TOLERANCE`]. goat logs it when it
    /// begins and when it ends.
    #[must_use]
    pub fn is_ahead(&self) -> bool {
        self.ahead() > Self::TOLERANCE
    }

    /// How often this time came to be [ahead](Time::is_ahead).
    #[must_use]
    pub fn steps_back(&self) -> u64 {
        self.state.steps_back.load(Ordering::Relaxed)
    }

    /// Reads the clocks, and returns the offset that counts.
    fn read(&self) -> (Reading, i64) {
        let reading = Reading::of(self.clock.as_ref());
        let known = self.state.offset.load(Ordering::Relaxed);
        let offset = if reading.offset > known {
            self.state.offset.fetch_max(reading.offset, Ordering::Relaxed).max(reading.offset)
        } else {
            known
        };
        self.state.note(Timestamp(offset).since(Timestamp(reading.offset)));
        (reading, offset)
    }

    /// The monotonic time, for durations and rate limits, which a set wall clock must not affect.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }
}

impl State {
    /// Reports a change of whether the time is ahead.
    fn note(&self, ahead: Duration) {
        let is_ahead = ahead > Time::TOLERANCE;
        if is_ahead == self.is_ahead.load(Ordering::Relaxed)
            || is_ahead == self.is_ahead.swap(is_ahead, Ordering::Relaxed)
        {
            return;
        }
        if is_ahead {
            self.steps_back.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                ahead_seconds = ahead.as_secs(),
                "wall clock set back; goat's time and its tokens are ahead of it until it catches up or the process restarts"
            );
        } else {
            tracing::info!("wall clock caught up with goat's time");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ManualClock;

    const HOUR: Duration = Duration::from_secs(3600);

    /// O6
    #[test]
    fn time_that_is_ahead_of_the_wall_clock_is_counted_until_that_catches_up() {
        let clock = ManualClock::default();
        let time = Time::new(Arc::new(clock.clone()));
        let start = time.now();
        let state = || (time.ahead(), time.is_ahead(), time.steps_back());
        clock.set_wall_clock(start + HOUR);
        assert_eq!(state(), (Duration::ZERO, false, 0));
        // Within the tolerance, and beyond.
        clock.set_wall_clock(start + HOUR - Time::TOLERANCE);
        assert_eq!(state(), (Time::TOLERANCE, false, 0));
        for count in 1..3 {
            let before = time.now();
            clock.set_wall_clock(before - HOUR);
            assert_eq!(state(), (HOUR, true, count));
            clock.advance(Duration::from_secs(60));
            assert_eq!(time.clone().now(), before + Duration::from_secs(60));
            assert_eq!(state(), (HOUR, true, count), "counted once");
            clock.set_wall_clock(time.now());
            assert_eq!(state(), (Duration::ZERO, false, count));
        }
    }

    /// A clock whose monotonic reading is late, as of a thread that is suspended between the two.
    #[derive(Debug)]
    struct Suspended(ManualClock);

    impl Clock for Suspended {
        fn now(&self) -> Timestamp {
            let now = Clock::now(&self.0);
            self.0.advance(HOUR);
            now
        }

        fn elapsed(&self) -> Duration {
            Clock::elapsed(&self.0)
        }
    }

    #[test]
    fn suspended_thread_does_not_put_the_time_ahead() {
        let clock = ManualClock::default();
        let time = Time::new(Arc::new(Suspended(clock.clone())));
        for _ in 0..3 {
            assert!(time.now() <= Clock::now(&clock), "not ahead of the wall clock");
        }
    }

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
