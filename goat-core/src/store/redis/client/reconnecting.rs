//! Reconnection with exponential backoff: a shared resource, such as a connection, that is opened
//! once for all concurrent callers and reopened after it was discarded.
//!
//! Invariants: at most one attempt runs at a time, and continues if the caller that started it is
//! cancelled; during a backoff, callers get the last failure at once and do not queue.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::super::failure::{Failure, FailureKind};
use crate::secret;

/// The backoff after a first failure. It doubles with each further failure.
const FIRST_BACKOFF: Duration = Duration::from_millis(25);
/// The longest backoff, which bounds how late a recovered server is detected.
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);

/// A resource that is opened on demand.
#[derive(Debug)]
pub(super) struct Reconnecting<T> {
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    stage: Stage<T>,
    /// The number of attempts so far.
    generation: u64,
    /// The number of failures since the last success.
    failures: u32,
}

#[derive(Debug)]
enum Stage<T> {
    Idle,
    Connecting(watch::Receiver<Option<Outcome<T>>>),
    Connected(T),
    Backoff { until: Instant, error: Failure },
}

/// The resource with its generation, or the reason that there is none.
type Outcome<T> = Result<(u64, T), Failure>;

impl<T> Default for Reconnecting<T> {
    fn default() -> Self {
        Self { state: Mutex::new(State { stage: Stage::Idle, generation: 0, failures: 0 }) }
    }
}

impl<T: Clone + Send + Sync + 'static> Reconnecting<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the resource and its generation, by which it can be discarded. The caller bounds the
    /// wait.
    pub(super) async fn get<F>(self: &Arc<Self>, open: impl FnOnce() -> F) -> Outcome<T>
    where
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let mut receiver = match self.begin(open) {
            Ok(outcome) => return outcome,
            Err(receiver) => receiver,
        };
        let outcome =
            receiver.wait_for(Option::is_some).await.ok().and_then(|outcome| (*outcome).clone());
        outcome.unwrap_or_else(|| {
            // The runtime that ran the attempt has shut down.
            self.abandon();
            Err(Failure::new(
                FailureKind::Unreachable,
                "the runtime that opened the connection has shut down",
            ))
        })
    }

    /// Returns the current outcome, or a receiver for that of the running attempt.
    fn begin<F>(
        self: &Arc<Self>,
        open: impl FnOnce() -> F,
    ) -> Result<Outcome<T>, watch::Receiver<Option<Outcome<T>>>>
    where
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let mut state = self.lock();
        match &state.stage {
            Stage::Connected(value) => return Ok(Ok((state.generation, value.clone()))),
            Stage::Connecting(receiver) => return Err(receiver.clone()),
            Stage::Backoff { until, error } if Instant::now() < *until => {
                return Ok(Err(error.clone()));
            }
            Stage::Idle | Stage::Backoff { .. } => {}
        }
        state.generation += 1;
        let (sender, receiver) = watch::channel(None);
        state.stage = Stage::Connecting(receiver.clone());
        let (shared, generation, opening) = (Arc::clone(self), state.generation, open());
        tokio::spawn(async move {
            let outcome = opening.await.map_err(Failure::while_connecting);
            sender.send_replace(Some(shared.settle(generation, outcome)));
        });
        Err(receiver)
    }

    fn settle(&self, generation: u64, outcome: Result<T, Failure>) -> Outcome<T> {
        let mut state = self.lock();
        match outcome {
            Ok(value) => {
                state.failures = 0;
                state.stage = Stage::Connected(value.clone());
                Ok((generation, value))
            }
            Err(error) => {
                let backoff = backoff(state.failures);
                state.failures = state.failures.saturating_add(1);
                state.stage =
                    Stage::Backoff { until: Instant::now() + backoff, error: error.clone() };
                Err(error)
            }
        }
    }

    fn abandon(&self) {
        let mut state = self.lock();
        if matches!(&state.stage, Stage::Connecting(receiver) if receiver.has_changed().is_err()) {
            state.stage = Stage::Idle;
        }
    }

    /// Ends a backoff, when the server is known to respond again.
    pub(super) fn end_backoff(&self) {
        let mut state = self.lock();
        if matches!(state.stage, Stage::Backoff { .. }) {
            state.stage = Stage::Idle;
        }
    }

    /// Returns the resource if it is open.
    pub(super) fn opened(&self) -> Option<T> {
        match &self.lock().stage {
            Stage::Connected(value) => Some(value.clone()),
            _ => None,
        }
    }

    /// Discards a resource that is no longer usable, unless it was already replaced.
    pub(super) fn discard(&self, generation: u64) {
        let mut state = self.lock();
        if state.generation == generation && matches!(state.stage, Stage::Connected(_)) {
            state.stage = Stage::Idle;
        }
    }
}

/// Returns the backoff after a number of failures: exponential, with jitter so that nodes do not all
/// reconnect at the same moment.
fn backoff(failures: u32) -> Duration {
    let backoff = FIRST_BACKOFF.saturating_mul(1 << failures.min(10)).min(LONGEST_BACKOFF);
    let jitter = secret::random::<u64>() % 256;
    backoff.mul_f64(0.75) + backoff.mul_f64(0.25).mul_f64(jitter as f64 / 255.0)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Barrier;
    use tokio::task::JoinSet;
    use tokio::time::{advance, timeout};

    use super::*;

    fn down() -> Failure {
        Failure::new(FailureKind::Lost, "down")
    }

    /// Counts its attempts, and fails on request.
    #[derive(Default)]
    struct Opener {
        times: AtomicU32,
    }

    impl Opener {
        fn open(
            self: &Arc<Self>,
            fails: bool,
        ) -> impl Future<Output = Result<u32, Failure>> + use<> {
            let opener = Arc::clone(self);
            async move {
                tokio::time::sleep(Duration::from_millis(10)).await;
                let times = opener.times.fetch_add(1, Ordering::Relaxed) + 1;
                if fails { Err(down()) } else { Ok(times) }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_callers_share_one_attempt() {
        let (shared, opener) = (Arc::new(Reconnecting::default()), Arc::new(Opener::default()));
        let (mut callers, start) = (JoinSet::new(), Arc::new(Barrier::new(100)));
        for _ in 0..100 {
            let (shared, opener, start) =
                (Arc::clone(&shared), Arc::clone(&opener), Arc::clone(&start));
            callers.spawn(async move {
                start.wait().await;
                shared.get(|| opener.open(false)).await.expect("opened")
            });
        }
        assert!(callers.join_all().await.into_iter().all(|outcome| outcome == (1, 1)));
        shared.discard(1);
        shared.discard(1);
        assert_eq!(shared.get(|| opener.open(false)).await.expect("opened"), (2, 2));
        // A late discard of the first generation does not affect the second.
        shared.discard(1);
        assert_eq!(shared.get(|| opener.open(false)).await.expect("opened"), (2, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_are_limited_by_the_backoff_while_they_fail() {
        let (shared, opener) =
            (Arc::new(Reconnecting::<u32>::default()), Arc::new(Opener::default()));
        // One caller every millisecond, for a minute.
        for _ in 0..60_000 {
            let begun = Instant::now();
            let failure = shared.get(|| opener.open(true)).await.expect_err("it fails");
            assert_eq!(failure.kind(), FailureKind::Unreachable);
            assert!(begun.elapsed() <= Duration::from_millis(11), "the caller does not wait");
            advance(Duration::from_millis(1)).await;
        }
        let times = opener.times.load(Ordering::Relaxed);
        assert!((60..=90).contains(&times), "{times} attempts in a minute");
        // After the server recovers, the next attempt is due within the longest backoff.
        let begun = Instant::now();
        while shared.get(|| opener.open(false)).await.is_err() {
            advance(Duration::from_millis(1)).await;
        }
        assert!(begun.elapsed() <= LONGEST_BACKOFF + Duration::from_millis(20));
    }

    #[tokio::test(start_paused = true)]
    async fn attempt_continues_when_its_caller_is_cancelled() {
        let (shared, opener) = (Arc::new(Reconnecting::default()), Arc::new(Opener::default()));
        let cancelled = timeout(Duration::from_millis(1), shared.get(|| opener.open(false))).await;
        assert!(cancelled.is_err());
        assert_eq!(shared.get(|| opener.open(false)).await.expect("opened"), (1, 1));
    }
}
