//! Token bucket for the lines of requests that no rate limit bounds: requests that a limit rejects,
//! and requests that are dropped before their response. Without it one connection could write
//! gigabytes of log in an hour (W7).

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines at once.
const BURST: u32 = 100;

/// Time per line beyond the burst.
const INTERVAL: Duration = Duration::from_millis(100);

/// Decides which of the lines are logged.
#[derive(Debug)]
pub(super) struct Sampler {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When the bucket is full again.
    full_at: Instant,
    omitted: u64,
}

impl Sampler {
    pub(super) fn new() -> Self {
        Self { state: Mutex::new(State { full_at: Instant::now(), omitted: 0 }) }
    }

    /// Admits a line, and returns how many were omitted since the last one; or omits it.
    pub(super) fn admit(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = state.full_at.max(now) + INTERVAL;
        if full_at > now + INTERVAL * BURST {
            state.omitted += 1;
            return None;
        }
        state.full_at = full_at;
        Some(std::mem::take(&mut state.omitted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// W7.
    #[test]
    fn burst_is_admitted_and_then_ten_lines_a_second() {
        let (sampler, start) = (Sampler::new(), Instant::now());
        let admitted = (0..1000).filter(|_| sampler.admit(start).is_some()).count();
        assert_eq!(admitted, 100);
        let second = (1..=1000).map(|tick| start + Duration::from_millis(tick));
        let lines: Vec<u64> = second.filter_map(|now| sampler.admit(now)).collect();
        assert!((9..=11).contains(&lines.len()), "{lines:?}");
        assert!(lines[0] >= 900, "the omitted lines are counted: {lines:?}");
    }
}
