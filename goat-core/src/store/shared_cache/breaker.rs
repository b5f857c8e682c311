//! Circuit breaker for the shared cache: closed, open after a failure, half-open for one probe.
//!
//! Invariant: while the breaker is open, this node serves nothing from the shared cache.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::error::StoreError;

/// How long the breaker stays open before one probe.
const OPEN_FOR: Duration = Duration::from_millis(250);

/// The circuit breaker.
#[derive(Debug)]
pub(super) struct CircuitBreaker {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The last call failed: the breaker is open, or half-open from `retry_at` on.
    failing: bool,
    /// When the next probe is allowed.
    retry_at: Duration,
    /// Until when the breaker stays open because an invalidation failed and stale entries may remain.
    forced_open_until: Duration,
}

impl CircuitBreaker {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default() }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a call is allowed now. In the half-open state, only one is.
    pub(super) fn allows_call(&self) -> bool {
        let now = self.elapsed();
        let mut state = self.lock();
        if now < state.forced_open_until || (state.failing && now < state.retry_at) {
            return false;
        }
        if state.failing {
            state.retry_at = now + OPEN_FOR;
        }
        true
    }

    /// Records a success, which closes the breaker.
    pub(super) fn on_success(&self) {
        if std::mem::take(&mut self.lock().failing) {
            tracing::info!("shared cache available again");
        }
    }

    /// Records a failure, which opens the breaker.
    pub(super) fn on_failure(&self, error: &StoreError) {
        let now = self.elapsed();
        let mut state = self.lock();
        state.retry_at = now + OPEN_FOR;
        let was_failing = std::mem::replace(&mut state.failing, true);
        drop(state);
        if !was_failing {
            tracing::warn!(%error, "shared cache unavailable; reading from the database");
        }
    }

    /// Keeps the breaker open for the staleness, even if calls succeed meanwhile.
    pub(super) fn force_open(&self, staleness: Duration) {
        let until = self.elapsed() + staleness;
        let mut state = self.lock();
        state.forced_open_until = state.forced_open_until.max(until);
    }
}

#[cfg(test)]
mod tests {
    use super::super::operation;
    use super::*;
    use crate::testing::ManualClock;

    fn breaker() -> (CircuitBreaker, ManualClock) {
        let clock = ManualClock::default();
        (CircuitBreaker::new(Arc::new(clock.clone())), clock)
    }

    #[test]
    fn breaker_opens_after_a_failure_and_allows_one_probe() {
        let (breaker, clock) = breaker();
        assert!(breaker.allows_call());
        breaker.on_failure(&StoreError::unavailable(operation::GET));
        assert!(!breaker.allows_call());
        clock.advance(OPEN_FOR);
        assert!(breaker.allows_call());
        assert!(!breaker.allows_call(), "half-open: one probe only");
        clock.advance(OPEN_FOR);
        assert!(breaker.allows_call(), "another probe after one that never completed");
        breaker.on_success();
        assert!(breaker.allows_call() && breaker.allows_call());
    }

    #[test]
    fn success_does_not_close_a_breaker_that_was_forced_open() {
        let (breaker, clock) = breaker();
        let staleness = Duration::from_secs(1);
        breaker.force_open(staleness);
        breaker.force_open(Duration::ZERO);
        breaker.on_success();
        clock.advance(staleness - Duration::from_millis(1));
        assert!(!breaker.allows_call());
        clock.advance(Duration::from_millis(1));
        assert!(breaker.allows_call());
    }
}
