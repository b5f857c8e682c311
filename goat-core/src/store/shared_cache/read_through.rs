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

use super::breaker::CircuitBreaker;
use super::codec::CacheValue;
use super::flights::Flights;
use super::{CacheEntry, CacheKey, Lookup, ServerTime, SharedCache};

/// How long a reader waits for the shelf: a small part of what a store may take.
const READ_TIMEOUT: Duration = Duration::from_millis(100);
/// How long a writer does. It has a promise to keep, and waits longer.
const WRITE_TIMEOUT: Duration = Duration::from_millis(500);
/// For how much longer than the staleness a revision is known. Nothing needs it as long as the
/// shelf's clock is one clock; it covers that of a replica that takes over.
const MARGIN: Duration = Duration::from_secs(1);
/// A shelf's stamps are whole milliseconds, so that the time between two may be this much longer.
const ROUNDING: Duration = Duration::from_millis(1);

/// What a second level has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SharedCacheCounts {
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
pub(super) struct ReadThrough<V> {
    core: Arc<Core>,
    flights: Flights<Answer<V>>,
    /// Something was met that nobody can read, and said so.
    warned_malformed: AtomicBool,
    kind: PhantomData<V>,
}

/// The part that work after a write holds on to.
#[derive(Debug)]
struct Core {
    cache: Arc<dyn SharedCache>,
    staleness: Duration,
    breaker: Arc<CircuitBreaker>,
    counts: Counts,
}

#[derive(Clone, Debug)]
enum Answer<V> {
    /// From the store. Whoever takes part in the read came before it began.
    Loaded(Option<V>),
    /// From the shelf, and so old at this moment of the stopwatch.
    Cached { value: V, age: Duration, at: Duration },
}

impl<V> Answer<V> {
    fn recent(self, now: Duration) -> Recent<Option<V>> {
        match self {
            Self::Loaded(value) => Recent::now(value),
            Self::Cached { value, age, at } => {
                Recent { value: Some(value), age: age + now.saturating_sub(at) }
            }
        }
    }
}

/// What the shelf said.
enum CacheRead<V> {
    /// This, and it is young enough.
    Hit(Answer<V>),
    /// Nothing that is of use. A read that begins from now on may be laid down with this read_at.
    Miss(ServerTime),
    /// Nothing: it was not asked, or it failed.
    Skipped,
}

impl<V: CacheValue> ReadThrough<V> {
    pub(super) fn new(
        cache: Arc<dyn SharedCache>,
        staleness: Duration,
        breaker: Arc<CircuitBreaker>,
    ) -> Self {
        let core = Core { cache, staleness, breaker, counts: Counts::default() };
        Self {
            core: Arc::new(core),
            flights: Flights::default(),
            warned_malformed: AtomicBool::new(false),
            kind: PhantomData,
        }
    }

    pub(super) fn counts(&self) -> SharedCacheCounts {
        let Counts { hits, misses, failures } = &self.core.counts;
        SharedCacheCounts {
            hits: hits.load(Ordering::Relaxed),
            misses: misses.load(Ordering::Relaxed),
            failures: failures.load(Ordering::Relaxed),
        }
    }

    /// What lies on the shelf, else what the store reads.
    pub(super) async fn recent<R>(
        &self,
        key: CacheKey,
        read: impl FnOnce() -> R,
    ) -> Result<Recent<Option<V>>, StoreError>
    where
        R: Future<Output = Result<Option<V>, StoreError>>,
    {
        let get_or_load = || async {
            match self.get(key).await {
                CacheRead::Hit(answer) => Ok(answer),
                CacheRead::Miss(read_at) => self.fill(key, Some(read_at), read()).await,
                CacheRead::Skipped => self.fill(key, None, read()).await,
            }
        };
        let answer = self.flights.join(key, get_or_load).await?;
        let Counts { hits, misses, .. } = &self.core.counts;
        let count = if let Answer::Cached { .. } = answer { hits } else { misses };
        count.fetch_add(1, Ordering::Relaxed);
        Ok(answer.recent(self.core.breaker.elapsed()))
    }

    async fn get(&self, key: CacheKey) -> CacheRead<V> {
        if !self.core.breaker.allows_call() {
            return CacheRead::Skipped;
        }
        let asked_at = self.core.breaker.elapsed();
        let getting = self.core.cache.get(key);
        let Some(lookup) = self.core.call("shared_cache.get", READ_TIMEOUT, getting).await else {
            return CacheRead::Skipped;
        };
        let now = lookup.now;
        let Some((value, age)) = self.decoded(lookup) else { return CacheRead::Miss(now) };
        // The answer was on its way for so long at most.
        let at = self.core.breaker.elapsed();
        let age = age + ROUNDING + at.saturating_sub(asked_at);
        if age < self.core.staleness {
            CacheRead::Hit(Answer::Cached { value, age, at })
        } else {
            CacheRead::Miss(now)
        }
    }

    /// What lies there, and how old it was when the shelf was looked at.
    fn decoded(&self, lookup: Lookup) -> Option<(V, Duration)> {
        let Lookup { entry: Some(CacheEntry { revision, read_at, value }), now } = lookup else {
            return None;
        };
        let read = V::decode(revision, &value);
        if read.is_none() {
            self.core.count_failure();
            if !self.warned_malformed.swap(true, Ordering::Relaxed) {
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
        key: CacheKey,
        read_at: Option<ServerTime>,
        read: impl Future<Output = Result<Option<V>, StoreError>>,
    ) -> Result<Answer<V>, StoreError> {
        let value = read.await?;
        // What nobody counts could never be told from something newer.
        if let (Some(read_at), Some(value)) = (read_at, &value)
            && value.revision() > 0
        {
            let entry = CacheEntry { revision: value.revision(), read_at, value: value.encode() };
            let putting = self.core.cache.put(key, &entry, self.core.staleness);
            self.core.call("shared_cache.put", READ_TIMEOUT, putting).await;
        }
        Ok(Answer::Loaded(value))
    }

    /// Makes everyone ask the store for as long as anything from before may come: whoever wrote may
    /// not have counted, so that the revision of what is there now tells nothing.
    pub(super) async fn invalidate(&self, key: CacheKey) {
        self.pending_invalidation(key).complete(u64::MAX).await;
    }

    /// To be made before a write is tried.
    pub(super) fn pending_invalidation(&self, key: CacheKey) -> PendingInvalidation {
        PendingInvalidation { core: Arc::clone(&self.core), key, reach: AtomicU64::new(0) }
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
        timeout: Duration,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Option<T> {
        let answer = match tokio::time::timeout(timeout, call).await {
            Ok(answer) => answer,
            Err(_) => Err(StoreError::unavailable(operation)),
        };
        match answer {
            Ok(answer) => {
                self.breaker.on_success();
                Some(answer)
            }
            Err(error) => {
                self.count_failure();
                if error.is_unavailable() {
                    self.breaker.on_failure(&error);
                } else {
                    // About this one key; the others are as good as before.
                    tracing::warn!(%error, "something in the shared cache is not goat's");
                }
                None
            }
        }
    }

    async fn invalidate_below(&self, key: CacheKey, revision: u64) {
        let invalidation = self.cache.invalidate_below(key, revision, self.staleness + MARGIN);
        if self.call("shared_cache.invalidate_below", WRITE_TIMEOUT, invalidation).await.is_none() {
            // What lies there may be older than what is about to be answered.
            self.breaker.force_open(self.staleness);
        }
    }
}

/// A write that is being tried, and how far it may have got.
///
/// Invariant: however the write ends, a failure and a caller that goes away included, the shelf is
/// raised at least to the revision that may have been committed, or tried to be.
#[derive(Debug)]
pub(super) struct PendingInvalidation {
    core: Arc<Core>,
    key: CacheKey,
    /// The highest revision that the rules have allowed to be written. Zero: none.
    reach: AtomicU64,
}

impl PendingInvalidation {
    /// The rules allow this revision to be written.
    pub(super) fn may_write(&self, revision: u64) {
        self.reach.fetch_max(revision, Ordering::SeqCst);
    }

    /// Nothing was written.
    pub(super) fn cancel(self) {
        self.reach.store(0, Ordering::SeqCst);
    }

    /// The store is at this revision now.
    pub(super) async fn complete(self, revision: u64) {
        self.reach.store(revision, Ordering::SeqCst);
        self.assume_written().await;
    }

    /// Nobody knows whether it was written.
    ///
    /// The revision that it would have is taken for real. If it is not, the lower one that is cannot
    /// be laid down for a while, and is asked of the store.
    pub(super) async fn assume_written(self) {
        let (core, key) = (Arc::clone(&self.core), self.key);
        let revision = self.reach.swap(0, Ordering::SeqCst);
        if revision > 0 {
            to_the_end(async move { core.invalidate_below(key, revision).await }).await;
        }
    }
}

impl Drop for PendingInvalidation {
    fn drop(&mut self) {
        let revision = *self.reach.get_mut();
        // Without a runtime the process is ending; what lies there has not long to live.
        if let Ok(runtime) = tokio::runtime::Handle::try_current()
            && revision > 0
        {
            let (core, key) = (Arc::clone(&self.core), self.key);
            let raise = async move { core.invalidate_below(key, revision).await };
            runtime.spawn(raise.in_current_span());
        }
    }
}
