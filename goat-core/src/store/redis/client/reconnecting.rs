//! Something that takes a conversation to make, such as a connection: made by one caller for all,
//! made anew when it was given up, and not too often while it cannot be made.
//!
//! Invariants: at most one is being made at a time, and that goes on if the caller who began it
//! goes away; while it cannot be made, callers hear so at once and queue nowhere.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::super::failure::{Failure, FailureKind};
use crate::secret;

/// How long nobody tries again after a first failure. Doubles with each further one.
const FIRST_BACKOFF: Duration = Duration::from_millis(25);
/// The longest pause: how late a Redis that is back is noticed at most.
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);

/// A thing that is made when it is asked for.
#[derive(Debug)]
pub(super) struct Reconnecting<T> {
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    stage: Stage<T>,
    /// How often it was made or tried.
    generation: u64,
    /// How often it failed since it last succeeded.
    failures: u32,
}

#[derive(Debug)]
enum Stage<T> {
    Idle,
    Connecting(watch::Receiver<Option<Made<T>>>),
    Connected(T),
    Backoff { until: Instant, why: Failure },
}

/// A thing and its number, or why there is none.
type Made<T> = Result<(u64, T), Failure>;

impl<T> Default for Reconnecting<T> {
    fn default() -> Self {
        Self { state: Mutex::new(State { stage: Stage::Idle, generation: 0, failures: 0 }) }
    }
}

impl<T: Clone + Send + Sync + 'static> Reconnecting<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thing and its number, by which it can be given up. The caller bounds the wait.
    pub(super) async fn get<F>(self: &Arc<Self>, make: impl FnOnce() -> F) -> Made<T>
    where
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let mut receiver = match self.begin(make) {
            Ok(made) => return made,
            Err(receiver) => receiver,
        };
        let made = receiver.wait_for(Option::is_some).await.ok().and_then(|made| (*made).clone());
        made.unwrap_or_else(|| {
            // The runtime that was to make it has ended.
            self.abandon();
            Err(Failure::new(FailureKind::Unreachable, "nobody makes a connection any more"))
        })
    }

    /// What there is, or who makes it.
    fn begin<F>(
        self: &Arc<Self>,
        make: impl FnOnce() -> F,
    ) -> Result<Made<T>, watch::Receiver<Option<Made<T>>>>
    where
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let mut state = self.lock();
        match &state.stage {
            Stage::Connected(value) => return Ok(Ok((state.generation, value.clone()))),
            Stage::Connecting(receiver) => return Err(receiver.clone()),
            Stage::Backoff { until, why } if Instant::now() < *until => {
                return Ok(Err(why.clone()));
            }
            Stage::Idle | Stage::Backoff { .. } => {}
        }
        state.generation += 1;
        let (sender, receiver) = watch::channel(None);
        state.stage = Stage::Connecting(receiver.clone());
        let (shared, generation, making) = (Arc::clone(self), state.generation, make());
        tokio::spawn(async move {
            let made = making.await.map_err(Failure::while_connecting);
            sender.send_replace(Some(shared.settle(generation, made)));
        });
        Err(receiver)
    }

    fn settle(&self, generation: u64, made: Result<T, Failure>) -> Made<T> {
        let mut state = self.lock();
        match made {
            Ok(value) => {
                state.failures = 0;
                state.stage = Stage::Connected(value.clone());
                Ok((generation, value))
            }
            Err(why) => {
                let backoff = backoff(state.failures);
                state.failures = state.failures.saturating_add(1);
                state.stage = Stage::Backoff { until: Instant::now() + backoff, why: why.clone() };
                Err(why)
            }
        }
    }

    fn abandon(&self) {
        let mut state = self.lock();
        if matches!(&state.stage, Stage::Connecting(receiver) if receiver.has_changed().is_err()) {
            state.stage = Stage::Idle;
        }
    }

    /// Lets go of a thing that is no good any more, unless it was replaced already.
    pub(super) fn discard(&self, generation: u64) {
        let mut state = self.lock();
        if state.generation == generation && matches!(state.stage, Stage::Connected(_)) {
            state.stage = Stage::Idle;
        }
    }
}

/// How long to wait after so many failures: about twice as long each time, and differently long on
/// each node, so that not all of them come back at one moment.
fn backoff(failures: u32) -> Duration {
    let backoff = FIRST_BACKOFF.saturating_mul(1 << failures.min(10)).min(LONGEST_BACKOFF);
    let share = secret::random::<u64>() % 256;
    backoff.mul_f64(0.75) + backoff.mul_f64(0.25).mul_f64(share as f64 / 255.0)
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

    /// Counts how often it makes a thing, and fails as long as it is told to.
    #[derive(Default)]
    struct Maker {
        times: AtomicU32,
    }

    impl Maker {
        fn make(
            self: &Arc<Self>,
            fails: bool,
        ) -> impl Future<Output = Result<u32, Failure>> + use<> {
            let maker = Arc::clone(self);
            async move {
                tokio::time::sleep(Duration::from_millis(10)).await;
                let times = maker.times.fetch_add(1, Ordering::Relaxed) + 1;
                if fails { Err(down()) } else { Ok(times) }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_makes_one_thing_and_shares_it() {
        let (shared, maker) = (Arc::new(Reconnecting::default()), Arc::new(Maker::default()));
        let (mut crowd, start) = (JoinSet::new(), Arc::new(Barrier::new(100)));
        for _ in 0..100 {
            let (shared, maker, start) =
                (Arc::clone(&shared), Arc::clone(&maker), Arc::clone(&start));
            crowd.spawn(async move {
                start.wait().await;
                shared.get(|| maker.make(false)).await.expect("made")
            });
        }
        assert!(crowd.join_all().await.into_iter().all(|made| made == (1, 1)));
        shared.discard(1);
        shared.discard(1);
        assert_eq!(shared.get(|| maker.make(false)).await.expect("made"), (2, 2));
        // Whoever is late to give up the first does not give up the second.
        shared.discard(1);
        assert_eq!(shared.get(|| maker.make(false)).await.expect("made"), (2, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_asked_again_and_again_while_it_cannot_be_made() {
        let (shared, maker) =
            (Arc::new(Reconnecting::<u32>::default()), Arc::new(Maker::default()));
        // A minute of callers, one each millisecond.
        for _ in 0..60_000 {
            let begun = Instant::now();
            let failure = shared.get(|| maker.make(true)).await.expect_err("it fails");
            assert_eq!(failure.kind(), FailureKind::Unreachable);
            assert!(begun.elapsed() <= Duration::from_millis(11), "it waits for nothing");
            advance(Duration::from_millis(1)).await;
        }
        let times = maker.times.load(Ordering::Relaxed);
        assert!((60..=90).contains(&times), "{times} times in a minute");
        // And soon after it can be made again, it is.
        let begun = Instant::now();
        while shared.get(|| maker.make(false)).await.is_err() {
            advance(Duration::from_millis(1)).await;
        }
        assert!(begun.elapsed() <= LONGEST_BACKOFF + Duration::from_millis(20));
    }

    #[tokio::test(start_paused = true)]
    async fn the_making_goes_on_when_its_first_caller_goes_away() {
        let (shared, maker) = (Arc::new(Reconnecting::default()), Arc::new(Maker::default()));
        let hasty = timeout(Duration::from_millis(1), shared.get(|| maker.make(false))).await;
        assert!(hasty.is_err());
        assert_eq!(shared.get(|| maker.make(false)).await.expect("made"), (1, 1));
    }
}
