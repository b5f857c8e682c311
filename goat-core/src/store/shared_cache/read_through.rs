//! What both decorators do: look at the shelf, else read the store and lay down what it said; and
//! raise the shelf after a write.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tracing::Instrument as _;

use crate::error::StoreError;
use crate::recent::Recent;
use crate::task::to_the_end;

use super::breaker::Trust;
use super::codec::Shelved;
use super::flights::Flights;
use super::{Entry, Look, Shelf, ShelfKey, Stamp};

/// How long a reader waits for the shelf: a small part of what a store may take.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long a writer does. It has a promise to keep, and waits longer.
const PATIENCE_OF_A_WRITE: Duration = Duration::from_millis(500);
/// For how much longer than the staleness a revision is known. Nothing needs it as long as the
/// shelf's clock is one clock; it covers that of a replica that takes over.
const MARGIN: Duration = Duration::from_secs(1);
/// A shelf's stamps are whole milliseconds, so that the time between two may be this much longer.
const ROUNDING: Duration = Duration::from_millis(1);

/// What a second level has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SharedCounts {
    /// Questions that the shelf answered.
    pub hits: u64,
    /// Questions that it did not, for whatever reason.
    pub misses: u64,
    /// Calls of the shelf that failed, and entries that nobody can read.
    pub failures: u64,
}

#[derive(Debug, Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    failures: AtomicU64,
}

/// The second level of one kind of thing.
#[derive(Debug)]
pub(super) struct Level<V> {
    core: Arc<Core>,
    flights: Flights<Answer<V>>,
    /// Something was met that nobody can read, and said so.
    met_nonsense: AtomicBool,
    kind: PhantomData<V>,
}

/// The part that work after a write holds on to.
#[derive(Debug)]
struct Core {
    shelf: Arc<dyn Shelf>,
    staleness: Duration,
    trust: Arc<Trust>,
    counts: Counts,
}

#[derive(Clone, Debug)]
enum Answer<V> {
    /// From the store. Whoever takes part in the read came before it began.
    Read(Option<V>),
    /// From the shelf, and so old at this moment of the stopwatch.
    Remembered { value: V, age: Duration, at: Duration },
}

impl<V> Answer<V> {
    fn recent(self, now: Duration) -> Recent<Option<V>> {
        match self {
            Self::Read(value) => Recent::now(value),
            Self::Remembered { value, age, at } => {
                Recent { value: Some(value), age: age + now.saturating_sub(at) }
            }
        }
    }
}

/// What the shelf said.
enum Looked<V> {
    /// This, and it is young enough.
    Hit(Answer<V>),
    /// Nothing that is of use. A read that begins from now on may be laid down with this stamp.
    Miss(Stamp),
    /// Nothing: it was not asked, or it failed.
    Silence,
}

impl<V: Shelved> Level<V> {
    pub(super) fn new(shelf: Arc<dyn Shelf>, staleness: Duration, trust: Arc<Trust>) -> Self {
        let core = Core { shelf, staleness, trust, counts: Counts::default() };
        Self {
            core: Arc::new(core),
            flights: Flights::default(),
            met_nonsense: AtomicBool::new(false),
            kind: PhantomData,
        }
    }

    pub(super) fn counts(&self) -> SharedCounts {
        let Counts { hits, misses, failures } = &self.core.counts;
        SharedCounts {
            hits: hits.load(Ordering::Relaxed),
            misses: misses.load(Ordering::Relaxed),
            failures: failures.load(Ordering::Relaxed),
        }
    }

    /// What lies on the shelf, else what the store reads.
    pub(super) async fn recent<R>(
        &self,
        key: ShelfKey,
        read: impl FnOnce() -> R,
    ) -> Result<Recent<Option<V>>, StoreError>
    where
        R: Future<Output = Result<Option<V>, StoreError>>,
    {
        let look_and_read = || async {
            match self.look(key).await {
                Looked::Hit(answer) => Ok(answer),
                Looked::Miss(stamp) => self.fill(key, Some(stamp), read()).await,
                Looked::Silence => self.fill(key, None, read()).await,
            }
        };
        let answer = self.flights.join(key, look_and_read).await?;
        let Counts { hits, misses, .. } = &self.core.counts;
        let count = if let Answer::Remembered { .. } = answer { hits } else { misses };
        count.fetch_add(1, Ordering::Relaxed);
        Ok(answer.recent(self.core.trust.elapsed()))
    }

    async fn look(&self, key: ShelfKey) -> Looked<V> {
        if !self.core.trust.may_ask() {
            return Looked::Silence;
        }
        let asked_at = self.core.trust.elapsed();
        let looking = self.core.shelf.look(key);
        let Some(look) = self.core.call("shelf.look", PATIENCE, looking).await else {
            return Looked::Silence;
        };
        let now = look.now;
        let Some((value, age)) = self.readable(look) else { return Looked::Miss(now) };
        // The answer was on its way for so long at most.
        let at = self.core.trust.elapsed();
        let age = age + ROUNDING + at.saturating_sub(asked_at);
        if age < self.core.staleness {
            Looked::Hit(Answer::Remembered { value, age, at })
        } else {
            Looked::Miss(now)
        }
    }

    /// What lies there, and how old it was when the shelf was looked at.
    fn readable(&self, look: Look) -> Option<(V, Duration)> {
        let Look { entry: Some(Entry { revision, read_at, value }), now } = look else {
            return None;
        };
        let read = V::read(revision, &value);
        if read.is_none() {
            self.core.count_failure();
            if !self.met_nonsense.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    "something lies in the shared cache that cannot be read; it is passed over"
                );
            }
        }
        Some((read?, now.since(read_at)?))
    }

    /// Reads the store, and lays down what it says if the shelf said what time it was before.
    async fn fill(
        &self,
        key: ShelfKey,
        stamp: Option<Stamp>,
        read: impl Future<Output = Result<Option<V>, StoreError>>,
    ) -> Result<Answer<V>, StoreError> {
        let value = read.await?;
        // What nobody counts could never be told from something newer.
        if let (Some(read_at), Some(value)) = (stamp, &value)
            && value.revision() > 0
        {
            let entry = Entry { revision: value.revision(), read_at, value: value.write() };
            let putting = self.core.shelf.put(key, &entry, self.core.staleness);
            self.core.call("shelf.put", PATIENCE, putting).await;
        }
        Ok(Answer::Read(value))
    }

    /// Makes everyone ask the store for as long as anything from before may come: whoever wrote may
    /// not have counted, so that the revision of what is there now tells nothing.
    pub(super) async fn forget(&self, key: ShelfKey) {
        self.raising(key).to(u64::MAX).await;
    }

    /// To be made before a write is tried.
    pub(super) fn raising(&self, key: ShelfKey) -> Raising {
        Raising { core: Arc::clone(&self.core), key, reach: AtomicU64::new(0) }
    }
}

impl Core {
    fn count_failure(&self) {
        self.counts.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits for the shelf so long.
    async fn call<T>(
        &self,
        operation: &'static str,
        patience: Duration,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Option<T> {
        let answer = match tokio::time::timeout(patience, call).await {
            Ok(answer) => answer,
            Err(_) => Err(StoreError::unavailable(operation)),
        };
        match answer {
            Ok(answer) => {
                self.trust.answered();
                Some(answer)
            }
            Err(error) => {
                self.count_failure();
                if error.is_unavailable() {
                    self.trust.failed(&error);
                } else {
                    // About this one key; the others are as good as before.
                    tracing::warn!(%error, "something in the shared cache is not goat's");
                }
                None
            }
        }
    }

    async fn raise(&self, key: ShelfKey, revision: u64) {
        let raising = self.shelf.raise(key, revision, self.staleness + MARGIN);
        if self.call("shelf.raise", PATIENCE_OF_A_WRITE, raising).await.is_none() {
            // What lies there may be older than what is about to be answered.
            self.trust.doubt(self.staleness);
        }
    }
}

/// A write that is being tried, and how far it may have got.
///
/// Invariant: however the write ends, a failure and a caller that goes away included, the shelf is
/// raised at least to the revision that may have been committed, or tried to be.
#[derive(Debug)]
pub(super) struct Raising {
    core: Arc<Core>,
    key: ShelfKey,
    /// The highest revision that the rules have allowed to be written. Zero: none.
    reach: AtomicU64,
}

impl Raising {
    /// The rules allow this revision to be written.
    pub(super) fn may_reach(&self, revision: u64) {
        self.reach.fetch_max(revision, Ordering::SeqCst);
    }

    /// Nothing was written.
    pub(super) fn nothing(self) {
        self.reach.store(0, Ordering::SeqCst);
    }

    /// The store is at this revision now.
    pub(super) async fn to(self, revision: u64) {
        self.reach.store(revision, Ordering::SeqCst);
        self.unknown().await;
    }

    /// Nobody knows whether it was written.
    ///
    /// The revision that it would have is taken for real. If it is not, the lower one that is cannot
    /// be laid down for a while, and is asked of the store.
    pub(super) async fn unknown(self) {
        let (core, key) = (Arc::clone(&self.core), self.key);
        let revision = self.reach.swap(0, Ordering::SeqCst);
        if revision > 0 {
            to_the_end(async move { core.raise(key, revision).await }).await;
        }
    }
}

impl Drop for Raising {
    fn drop(&mut self) {
        let revision = *self.reach.get_mut();
        // Without a runtime the process is ending; what lies there has not long to live.
        if let Ok(runtime) = tokio::runtime::Handle::try_current()
            && revision > 0
        {
            let (core, key) = (Arc::clone(&self.core), self.key);
            let raise = async move { core.raise(key, revision).await };
            runtime.spawn(raise.in_current_span());
        }
    }
}
