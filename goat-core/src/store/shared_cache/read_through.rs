//! Read-through cache over the shared cache: reads the cache, else the store, and fills the cache; and
//! invalidates the entry after a write.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tracing::Instrument as _;

use crate::detached::run_to_completion;
use crate::error::StoreError;
use crate::single_flight::SingleFlight;
use crate::store::Aged;

use super::breaker::CircuitBreaker;
use super::codec::CacheValue;
use super::seal::Seal;
use super::{CacheKey, Lookup, ServerTime, SharedCache, operation};

/// The timeouts of cache calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// On the read path: a small part of a store's timeout.
    pub(super) read: Duration,
    /// Of an invalidation: longer, since the guarantee to readers depends on it.
    pub(super) write: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { read: Duration::from_millis(100), write: Duration::from_millis(500) }
    }
}

/// By how much the TTL of a known revision exceeds the staleness: covers the clock difference of a
/// replica that is promoted. With one clock it is not needed.
const MARGIN: Duration = Duration::from_secs(1);
/// Server times are whole milliseconds, so the time between two may be longer by this.
const ROUNDING: Duration = Duration::from_millis(1);

/// Counters of a read-through cache since its creation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SharedCacheCounts {
    /// Reads served from the shared cache.
    pub hits: u64,
    /// Reads served from the store, for any reason.
    pub misses: u64,
    /// Failed calls of the shared cache, and entries that are malformed or have a wrong MAC.
    pub failures: u64,
}

#[derive(Debug, Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    failures: AtomicU64,
}

/// The read-through cache of one type of value.
#[derive(Debug)]
pub(super) struct ReadThrough<V> {
    core: Arc<Core>,
    reads: SingleFlight<CacheKey, ReadValue<V>, StoreError>,
    /// A malformed entry was logged.
    warned_malformed: AtomicBool,
    /// An entry with a wrong MAC was logged.
    warned_forged: AtomicBool,
    kind: PhantomData<V>,
}

/// The shared cache, the seal of its entries, and the timeouts of its calls.
#[derive(Clone, Debug)]
pub(super) struct SealedCache {
    pub(super) cache: Arc<dyn SharedCache>,
    pub(super) seal: Seal,
    pub(super) timeouts: Timeouts,
}

/// The part that an invalidation shares.
#[derive(Debug)]
struct Core {
    sealed: SealedCache,
    staleness: Duration,
    breaker: Arc<CircuitBreaker>,
    counts: Counts,
}

#[derive(Clone, Debug)]
enum ReadValue<V> {
    /// Read from the store, after every caller that shares the read arrived.
    Loaded(Option<V>),
    /// Read from the shared cache, with its age at an instant of the monotonic clock.
    Cached { value: V, age: Duration, at: Duration },
}

impl<V> ReadValue<V> {
    fn recent(self, now: Duration) -> Aged<Option<V>> {
        match self {
            Self::Loaded(value) => Aged::now(value),
            Self::Cached { value, age, at } => {
                Aged { value: Some(value), age: age + now.saturating_sub(at) }
            }
        }
    }
}

/// The result of a cache read.
enum CacheRead<V> {
    /// A fresh entry.
    Hit(ReadValue<V>),
    /// No fresh entry. A read of the store that begins now may be stored with this time.
    Miss(ServerTime),
    /// The breaker is open, or the call failed.
    Skipped,
}

impl<V: CacheValue> ReadThrough<V> {
    pub(super) fn new(
        sealed: SealedCache,
        staleness: Duration,
        breaker: Arc<CircuitBreaker>,
    ) -> Self {
        let core = Core { sealed, staleness, breaker, counts: Counts::default() };
        Self {
            core: Arc::new(core),
            reads: SingleFlight::default(),
            warned_malformed: AtomicBool::new(false),
            warned_forged: AtomicBool::new(false),
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

    /// Returns the cached value, or the value that `read` loads from the store.
    pub(super) async fn recent<R>(
        &self,
        key: CacheKey,
        read: impl FnOnce() -> R,
    ) -> Result<Aged<Option<V>>, StoreError>
    where
        R: Future<Output = Result<Option<V>, StoreError>>,
    {
        let get_or_load = || async {
            match self.get(key).await {
                CacheRead::Hit(result) => Ok(result),
                CacheRead::Miss(read_at) => self.fill(key, Some(read_at), read()).await,
                CacheRead::Skipped => self.fill(key, None, read()).await,
            }
        };
        let shared = self.reads.run(key, get_or_load).await;
        let result = shared.map_err(|error| StoreError::shared(&error))?;
        let Counts { hits, misses, .. } = &self.core.counts;
        let count = if let ReadValue::Cached { .. } = result { hits } else { misses };
        count.fetch_add(1, Ordering::Relaxed);
        Ok(result.recent(self.core.breaker.elapsed()))
    }

    async fn get(&self, key: CacheKey) -> CacheRead<V> {
        if !self.core.breaker.allows_call() {
            return CacheRead::Skipped;
        }
        let sent_at = self.core.breaker.elapsed();
        let SealedCache { cache, timeouts, .. } = &self.core.sealed;
        let getting = cache.get(key);
        let Some(lookup) = self.core.call(operation::GET, timeouts.read, getting).await else {
            return CacheRead::Skipped;
        };
        let now = lookup.now;
        let Some((value, age)) = self.decoded(key, lookup) else { return CacheRead::Miss(now) };
        // The reply was in transit for at most this long.
        let at = self.core.breaker.elapsed();
        let age = age + ROUNDING + at.saturating_sub(sent_at);
        if age < self.core.staleness {
            CacheRead::Hit(ReadValue::Cached { value, age, at })
        } else {
            CacheRead::Miss(now)
        }
    }

    /// Verifies and decodes the entry, and returns its age at the time of the lookup.
    fn decoded(&self, key: CacheKey, lookup: Lookup) -> Option<(V, Duration)> {
        let Lookup { entry: Some(entry), now } = lookup else { return None };
        let SealedCache { cache, seal, .. } = &self.core.sealed;
        let Some(text) = seal.open(&cache.name(key), &entry) else {
            self.core.count_failure();
            if !self.warned_forged.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    "entry with a wrong MAC in the shared cache; reading from the database: another \
                     system writes there, or a node has other token keys"
                );
            }
            return None;
        };
        let read = V::decode(entry.revision, text);
        if read.is_none() {
            self.core.count_failure();
            if !self.warned_malformed.swap(true, Ordering::Relaxed) {
                tracing::warn!("malformed entry in the shared cache; reading from the database");
            }
        }
        Some((read?, now.since(entry.read_at)?))
    }

    /// Reads the store, and fills the cache if the server time before the read is known.
    async fn fill(
        &self,
        key: CacheKey,
        read_at: Option<ServerTime>,
        read: impl Future<Output = Result<Option<V>, StoreError>>,
    ) -> Result<ReadValue<V>, StoreError> {
        let value = read.await?;
        // Without a revision, an entry could not be compared with a newer one.
        if let (Some(read_at), Some(value)) = (read_at, &value)
            && value.revision() > 0
        {
            let SealedCache { cache, seal, timeouts } = &self.core.sealed;
            let (name, revision) = (cache.name(key), value.revision());
            if let Some(entry) = seal.seal(&name, revision, read_at, &value.encode()) {
                let putting = cache.put(key, &entry, self.core.staleness);
                self.core.call(operation::PUT, timeouts.read, putting).await;
            }
        }
        Ok(ReadValue::Loaded(value))
    }

    /// Invalidates every entry of a key, and rejects puts as long as an older read may still fill the
    /// cache: a write outside this port may not have increased the revision.
    pub(super) async fn invalidate(&self, key: CacheKey) {
        self.pending_invalidation(key).complete(u64::MAX).await;
    }

    /// Prepares the invalidation of a write, before it is attempted.
    pub(super) fn pending_invalidation(&self, key: CacheKey) -> PendingInvalidation {
        PendingInvalidation { core: Arc::clone(&self.core), key, attempted: AtomicU64::new(0) }
    }
}

impl Core {
    fn count_failure(&self) {
        self.counts.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Calls the shared cache with a timeout, and updates the breaker.
    async fn call<T>(
        &self,
        operation: &'static str,
        timeout: Duration,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Option<T> {
        let result = match tokio::time::timeout(timeout, call).await {
            Ok(result) => result,
            Err(_) => Err(StoreError::unavailable(operation)),
        };
        match result {
            Ok(result) => {
                self.breaker.on_success();
                Some(result)
            }
            Err(error) => {
                self.count_failure();
                if error.is_unavailable() {
                    self.breaker.on_failure(&error);
                } else {
                    // Concerns this key only, so the breaker stays closed.
                    tracing::warn!(%error, "foreign data in the shared cache");
                }
                None
            }
        }
    }

    async fn invalidate_below(&self, key: CacheKey, revision: u64) {
        let SealedCache { cache, timeouts, .. } = &self.sealed;
        let invalidation = cache.invalidate_below(key, revision, self.staleness + MARGIN);
        let called = self.call(operation::INVALIDATE_BELOW, timeouts.write, invalidation);
        if called.await.is_none() {
            // Entries may be older than the result of the write.
            self.breaker.force_open(self.staleness);
        }
    }
}

/// The invalidation of a write that is in progress.
///
/// Invariant: however the write ends, also by a failure or a cancelled caller, entries below the
/// revision that it committed or attempted to commit are invalidated.
#[derive(Debug)]
pub(super) struct PendingInvalidation {
    core: Arc<Core>,
    key: CacheKey,
    /// The highest revision that the write may have committed; 0 if none.
    attempted: AtomicU64,
}

impl PendingInvalidation {
    /// Records that the write may commit this revision.
    pub(super) fn may_write(&self, revision: u64) {
        self.attempted.fetch_max(revision, Ordering::SeqCst);
    }

    /// Cancels the invalidation: nothing was written.
    pub(super) fn cancel(self) {
        self.attempted.store(0, Ordering::SeqCst);
    }

    /// Invalidates entries below the committed revision.
    pub(super) async fn complete(self, revision: u64) {
        self.attempted.store(revision, Ordering::SeqCst);
        self.assume_written().await;
    }

    /// Invalidates as if the write was committed, since its outcome is unknown.
    ///
    /// If it was not committed, the current lower revision cannot be cached until the TTL has passed,
    /// and is read from the store.
    pub(super) async fn assume_written(self) {
        let (core, key) = (Arc::clone(&self.core), self.key);
        let revision = self.attempted.swap(0, Ordering::SeqCst);
        if revision > 0 {
            run_to_completion(async move { core.invalidate_below(key, revision).await }).await;
        }
    }
}

impl Drop for PendingInvalidation {
    fn drop(&mut self) {
        let revision = *self.attempted.get_mut();
        // Without a runtime the process is shutting down; the TTL bounds stale entries.
        if let Ok(runtime) = tokio::runtime::Handle::try_current()
            && revision > 0
        {
            let (core, key) = (Arc::clone(&self.core), self.key);
            let invalidate = async move { core.invalidate_below(key, revision).await };
            runtime.spawn(invalidate.in_current_span());
        }
    }
}
