//! Backoff between the tries of a delivery: exponential, with jitter, for about an hour.

use std::time::Duration;

/// The time before the second try. Greylisting servers want a few minutes, which the third or fourth meets.
const FIRST: Duration = Duration::from_secs(30);

/// The factor from one pause to the next.
const FACTOR: u32 = 3;

/// How often a letter is tried: the pauses add up to about an hour.
const TRIES: u32 = 6;

/// The pauses between tries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    pub(super) first: Duration,
    pub(super) factor: u32,
    pub(super) tries: u32,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: FIRST, factor: FACTOR, tries: TRIES }
    }
}

impl Backoff {
    /// Returns the pause after the given number of failed tries, spread by a quarter to either side, so that
    /// letters of one outage do not return together; `None` after the last try.
    pub(super) fn after(&self, failed: u32) -> Option<Duration> {
        let more = (1..self.tries).contains(&failed);
        more.then(|| {
            let pause = self.first.saturating_mul(self.factor.saturating_pow(failed - 1));
            pause.mul_f64(jitter())
        })
    }
}

/// Returns a random factor between 0.75 and 1.25; 1 if the operating system has no randomness.
fn jitter() -> f64 {
    getrandom::u32().map_or(1.0, |random| 0.75 + f64::from(random) / f64::from(u32::MAX) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_for_about_an_hour() {
        let backoff = Backoff::default();
        let mut shortest = Duration::ZERO;
        let mut longest = Duration::ZERO;
        for (failed, pause) in (1..6).zip([30.0, 90.0, 270.0, 810.0, 2430.0]) {
            let spread: Vec<_> = (0..200)
                .map(|_| backoff.after(failed).expect("one more try").as_secs_f64())
                .collect();
            assert!(spread.iter().all(|one| (0.75 * pause..=1.25 * pause).contains(one)));
            let (low, high) = spread
                .iter()
                .fold((f64::MAX, 0.0_f64), |(low, high), one| (low.min(*one), high.max(*one)));
            assert!(high - low > pause / 10.0, "{low} to {high} is no jitter");
            shortest += Duration::from_secs_f64(low);
            longest += Duration::from_secs_f64(high);
        }
        assert!(shortest > Duration::from_secs(40 * 60), "{shortest:?}");
        assert!(longest < Duration::from_secs(80 * 60), "{longest:?}");
        assert_eq!(backoff.after(6), None);
        assert_eq!(backoff.after(0), None);
    }
}
