//! Whether the shelf is worth asking.
//!
//! Invariant: while it is in doubt, this node answers nothing from it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::error::StoreError;

/// How long a shelf that failed is left alone. Then one asks for all.
const REST: Duration = Duration::from_millis(250);

/// What is thought of a shelf.
#[derive(Debug)]
pub(super) struct Trust {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// It failed when it was last asked.
    failing: bool,
    /// When a failing one is asked again.
    rested_at: Duration,
    /// Until when something may lie there that this node knows to be gone.
    doubted_until: Duration,
}

impl Trust {
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
    pub(super) fn may_ask(&self) -> bool {
        let now = self.elapsed();
        let mut state = self.lock();
        if now < state.doubted_until || (state.failing && now < state.rested_at) {
            return false;
        }
        if state.failing {
            state.rested_at = now + REST;
        }
        true
    }

    /// The shelf answered.
    pub(super) fn answered(&self) {
        if std::mem::take(&mut self.lock().failing) {
            tracing::info!("the shared cache answers again");
        }
    }

    /// The shelf did not answer.
    pub(super) fn failed(&self, error: &StoreError) {
        let now = self.elapsed();
        let mut state = self.lock();
        state.rested_at = now + REST;
        let was_failing = std::mem::replace(&mut state.failing, true);
        drop(state);
        if !was_failing {
            tracing::warn!(%error, "the shared cache does not answer; the stores are asked instead");
        }
    }

    /// Something may lie on the shelf for so long that this node knows to be gone.
    pub(super) fn doubt(&self, staleness: Duration) {
        let until = self.elapsed() + staleness;
        let mut state = self.lock();
        state.doubted_until = state.doubted_until.max(until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ManualClock;

    fn trust() -> (Trust, ManualClock) {
        let clock = ManualClock::default();
        (Trust::new(Arc::new(clock.clone())), clock)
    }

    #[test]
    fn a_shelf_that_failed_is_left_alone_and_then_tried_by_one() {
        let (trust, clock) = trust();
        assert!(trust.may_ask());
        trust.failed(&StoreError::unavailable("shelf.look"));
        assert!(!trust.may_ask());
        clock.advance(REST);
        assert!(trust.may_ask());
        assert!(!trust.may_ask(), "one tries, the others go on without it");
        clock.advance(REST);
        assert!(trust.may_ask(), "who tried never came back");
        trust.answered();
        assert!(trust.may_ask() && trust.may_ask());
    }

    #[test]
    fn an_answer_does_not_end_a_doubt_before_its_time() {
        let (trust, clock) = trust();
        let staleness = Duration::from_secs(1);
        trust.doubt(staleness);
        trust.doubt(Duration::ZERO);
        trust.answered();
        clock.advance(staleness - Duration::from_millis(1));
        assert!(!trust.may_ask());
        clock.advance(Duration::from_millis(1));
        assert!(trust.may_ask());
    }
}
