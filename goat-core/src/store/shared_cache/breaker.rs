//! Whether the shelf is worth asking.
//!
//! Invariant: while it is in doubt, this node answers nothing from it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::error::StoreError;

/// How long a shelf that failed is left alone. Then one asks for all.
const OPEN_FOR: Duration = Duration::from_millis(250);

/// What is thought of a shelf.
#[derive(Debug)]
pub(super) struct CircuitBreaker {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// It failed when it was last asked.
    failing: bool,
    /// When a failing one is asked again.
    retry_at: Duration,
    /// Until when something may lie there that this node knows to be gone.
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

    /// Whether to ask the shelf now.
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

    /// The shelf answered.
    pub(super) fn on_success(&self) {
        if std::mem::take(&mut self.lock().failing) {
            tracing::info!("the shared cache answers again");
        }
    }

    /// The shelf did not answer.
    pub(super) fn on_failure(&self, error: &StoreError) {
        let now = self.elapsed();
        let mut state = self.lock();
        state.retry_at = now + OPEN_FOR;
        let was_failing = std::mem::replace(&mut state.failing, true);
        drop(state);
        if !was_failing {
            tracing::warn!(%error, "the shared cache does not answer; the stores are asked instead");
        }
    }

    /// Something may lie on the shelf for so long that this node knows to be gone.
    pub(super) fn force_open(&self, staleness: Duration) {
        let until = self.elapsed() + staleness;
        let mut state = self.lock();
        state.forced_open_until = state.forced_open_until.max(until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ManualClock;

    fn breaker() -> (CircuitBreaker, ManualClock) {
        let clock = ManualClock::default();
        (CircuitBreaker::new(Arc::new(clock.clone())), clock)
    }

    #[test]
    fn a_shelf_that_failed_is_left_alone_and_then_tried_by_one() {
        let (breaker, clock) = breaker();
        assert!(breaker.allows_call());
        breaker.on_failure(&StoreError::unavailable("shared_cache.get"));
        assert!(!breaker.allows_call());
        clock.advance(OPEN_FOR);
        assert!(breaker.allows_call());
        assert!(!breaker.allows_call(), "one tries, the others go on without it");
        clock.advance(OPEN_FOR);
        assert!(breaker.allows_call(), "who tried never came back");
        breaker.on_success();
        assert!(breaker.allows_call() && breaker.allows_call());
    }

    #[test]
    fn an_answer_does_not_end_a_doubt_before_its_time() {
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
