//! An in-memory shared cache, and a wrapper that holds and fails calls.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use goat_core::store::shared_cache::{CacheEntry, CacheKey, Lookup, ServerTime, SharedCache};
use goat_core::testing::{ManualClock, Point};
use goat_core::{Clock as _, StoreError};
use tokio::sync::Semaphore;

/// In-memory implementation of the port, with a manual clock.
#[derive(Debug)]
pub(crate) struct MemoryCache {
    clock: ManualClock,
    slots: Mutex<HashMap<CacheKey, Slot>>,
}

#[derive(Debug)]
struct Slot {
    revision: u64,
    entry: Option<CacheEntry>,
    known_until: Duration,
}

impl MemoryCache {
    pub(crate) fn new(clock: ManualClock) -> Self {
        Self { clock, slots: Mutex::default() }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<CacheKey, Slot>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.elapsed();
        slots.retain(|_, slot| now < slot.known_until);
        slots
    }

    fn now(&self) -> ServerTime {
        ServerTime(u64::try_from(self.clock.elapsed().as_millis()).expect("a short test"))
    }
}

#[async_trait]
impl SharedCache for MemoryCache {
    fn name(&self, key: CacheKey) -> String {
        format!("{key:?}")
    }

    async fn get(&self, key: CacheKey) -> Result<Lookup, StoreError> {
        let entry = self.slots().get(&key).and_then(|slot| slot.entry.clone());
        Ok(Lookup { entry, now: self.now() })
    }

    async fn put(
        &self,
        key: CacheKey,
        entry: &CacheEntry,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let ends_at = Duration::from_millis(entry.read_at.0) + ttl;
        let mut slots = self.slots();
        if ends_at <= self.clock.elapsed() {
            return Ok(false);
        }
        let slot = slots.entry(key).or_insert(Slot {
            revision: 0,
            entry: None,
            known_until: Duration::ZERO,
        });
        let is_known = slot.revision == entry.revision
            && slot.entry.as_ref().is_some_and(|known| known.read_at >= entry.read_at);
        if entry.revision < slot.revision || is_known {
            return Ok(false);
        }
        *slot = Slot {
            revision: entry.revision,
            entry: Some(entry.clone()),
            known_until: slot.known_until.max(ends_at),
        };
        Ok(true)
    }

    async fn invalidate_below(
        &self,
        key: CacheKey,
        revision: u64,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        let until = self.clock.elapsed() + ttl;
        let mut slots = self.slots();
        let slot = slots.entry(key).or_insert(Slot { revision, entry: None, known_until: until });
        if slot.revision < revision {
            (slot.revision, slot.entry) = (revision, None);
        }
        slot.known_until = slot.known_until.max(until);
        Ok(())
    }
}

/// The fate of a call.
#[derive(Clone, Debug)]
enum Fate {
    Held(Arc<Semaphore>, Arc<Semaphore>),
    Fails,
    Silent,
}

/// A shared cache whose calls can be held, failed and counted. A held `put` continues when
/// released, even if its caller timed out, as over a network; other calls end with their callers.
#[derive(Clone, Debug)]
pub(crate) struct FaultyCache {
    pub(super) inner: Arc<dyn SharedCache>,
    plans: Arc<Mutex<Plans>>,
}

#[derive(Debug, Default)]
struct Plans {
    once: Vec<(&'static str, Point, Fate)>,
    always: Option<Fate>,
    calls: Vec<&'static str>,
}

/// A call that is held until it is released.
pub(crate) struct HeldCall {
    reached: Arc<Semaphore>,
    released: Arc<Semaphore>,
}

impl HeldCall {
    pub(crate) async fn reached(&self) {
        let reached = tokio::time::timeout(Duration::from_secs(30), self.reached.acquire()).await;
        reached.expect("a call").expect("not closed").forget();
    }

    pub(crate) fn release(self) {
        self.released.add_permits(1);
    }
}

impl FaultyCache {
    pub(crate) fn over(inner: Arc<dyn SharedCache>) -> Self {
        Self { inner, plans: Arc::default() }
    }

    fn plans(&self) -> MutexGuard<'_, Plans> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds the next call of this name.
    pub(crate) fn hold(&self, call: &'static str, point: Point) -> HeldCall {
        let (reached, released) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let fate = Fate::Held(Arc::clone(&reached), Arc::clone(&released));
        self.plans().once.push((call, point, fate));
        HeldCall { reached, released }
    }

    /// Fails the next call of this name.
    pub(crate) fn fail(&self, call: &'static str, point: Point) {
        self.plans().once.push((call, point, Fate::Fails));
    }

    /// Fails all calls from now on.
    pub(crate) fn fail_all(&self) {
        self.plans().always = Some(Fate::Fails);
    }

    /// Lets all calls hang from now on.
    pub(crate) fn hang_all(&self) {
        self.plans().always = Some(Fate::Silent);
    }

    /// Lets calls succeed again.
    pub(crate) fn recover(&self) {
        self.plans().always = None;
    }

    /// Takes the names of the calls so far.
    pub(crate) fn take_calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.plans().calls)
    }

    async fn at(&self, call: &'static str, point: Point) -> Result<(), StoreError> {
        let fate = {
            let mut plans = self.plans();
            if point == Point::Entry {
                plans.calls.push(call);
            }
            let planned = plans.once.iter().position(|plan| (plan.0, plan.1) == (call, point));
            planned.map(|slot| plans.once.remove(slot).2).or_else(|| plans.always.clone())
        };
        match fate {
            None => Ok(()),
            Some(Fate::Fails) => Err(StoreError::unavailable("shared_cache")),
            Some(Fate::Silent) => std::future::pending().await,
            Some(Fate::Held(reached, released)) => {
                reached.add_permits(1);
                released.acquire().await.expect("not closed").forget();
                Ok(())
            }
        }
    }

    async fn pass<T>(
        &self,
        call: &'static str,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.at(call, Point::Entry).await?;
        let answer = work.await;
        self.at(call, Point::Return).await?;
        answer
    }
}

#[async_trait]
impl SharedCache for FaultyCache {
    fn name(&self, key: CacheKey) -> String {
        self.inner.name(key)
    }

    async fn get(&self, key: CacheKey) -> Result<Lookup, StoreError> {
        self.pass("get", self.inner.get(key)).await
    }

    async fn put(
        &self,
        key: CacheKey,
        entry: &CacheEntry,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let (this, entry) = (self.clone(), entry.clone());
        let putting = async move { this.pass("put", this.inner.put(key, &entry, ttl)).await };
        tokio::spawn(putting).await.expect("no panic")
    }

    async fn invalidate_below(
        &self,
        key: CacheKey,
        revision: u64,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        self.pass("invalidate_below", self.inner.invalidate_below(key, revision, ttl)).await
    }
}
