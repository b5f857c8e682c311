//! A shelf in memory, and a hand that holds and breaks a shelf's calls.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use goat_core::store::shared_cache::{CacheEntry, CacheKey, Lookup, ServerTime, SharedCache};
use goat_core::testing::{ManualClock, Point};
use goat_core::{Clock as _, StoreError};
use tokio::sync::Semaphore;

/// The rules of a shelf, in memory, by a clock that the test moves.
#[derive(Debug)]
pub(crate) struct MemoryShelf {
    clock: ManualClock,
    places: Mutex<HashMap<CacheKey, Place>>,
}

#[derive(Debug)]
struct Place {
    revision: u64,
    entry: Option<CacheEntry>,
    known_until: Duration,
}

impl MemoryShelf {
    pub(crate) fn new(clock: ManualClock) -> Self {
        Self { clock, places: Mutex::default() }
    }

    fn places(&self) -> MutexGuard<'_, HashMap<CacheKey, Place>> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.elapsed();
        places.retain(|_, place| now < place.known_until);
        places
    }

    fn now(&self) -> ServerTime {
        ServerTime(u64::try_from(self.clock.elapsed().as_millis()).expect("a short test"))
    }
}

#[async_trait]
impl SharedCache for MemoryShelf {
    async fn get(&self, key: CacheKey) -> Result<Lookup, StoreError> {
        let entry = self.places().get(&key).and_then(|place| place.entry.clone());
        Ok(Lookup { entry, now: self.now() })
    }

    async fn put(
        &self,
        key: CacheKey,
        entry: &CacheEntry,
        life: Duration,
    ) -> Result<bool, StoreError> {
        let ends_at = Duration::from_millis(entry.read_at.0) + life;
        let mut places = self.places();
        if ends_at <= self.clock.elapsed() {
            return Ok(false);
        }
        let place = places.entry(key).or_insert(Place {
            revision: 0,
            entry: None,
            known_until: Duration::ZERO,
        });
        let is_known = place.revision == entry.revision
            && place.entry.as_ref().is_some_and(|known| known.read_at >= entry.read_at);
        if entry.revision < place.revision || is_known {
            return Ok(false);
        }
        *place = Place {
            revision: entry.revision,
            entry: Some(entry.clone()),
            known_until: place.known_until.max(ends_at),
        };
        Ok(true)
    }

    async fn invalidate_below(
        &self,
        key: CacheKey,
        revision: u64,
        life: Duration,
    ) -> Result<(), StoreError> {
        let until = self.clock.elapsed() + life;
        let mut places = self.places();
        let place =
            places.entry(key).or_insert(Place { revision, entry: None, known_until: until });
        if place.revision < revision {
            (place.revision, place.entry) = (revision, None);
        }
        place.known_until = place.known_until.max(until);
        Ok(())
    }
}

/// What happens to a call of the shelf.
#[derive(Clone, Debug)]
enum Fate {
    Held(Arc<Semaphore>, Arc<Semaphore>),
    Fails,
    Silent,
}

/// A shelf whose calls the test holds, breaks and counts: `look`, `put` and `raise`. A `put` goes on
/// when it is released, also if its caller has given it up, as it would over a network; the others
/// end with their callers, as they would where nothing was sent yet.
#[derive(Clone, Debug)]
pub(crate) struct HeldShelf {
    pub(super) inner: Arc<dyn SharedCache>,
    plans: Arc<Mutex<Plans>>,
}

#[derive(Debug, Default)]
struct Plans {
    once: Vec<(&'static str, Point, Fate)>,
    always: Option<Fate>,
    calls: Vec<&'static str>,
}

/// A call of the shelf that is held until it is released.
pub(crate) struct HeldCall {
    reached: Arc<Semaphore>,
    released: Arc<Semaphore>,
}

impl HeldCall {
    pub(crate) async fn reached(&self) {
        let reached = tokio::time::timeout(Duration::from_secs(30), self.reached.acquire()).await;
        reached.expect("the shelf is called").expect("it is not closed").forget();
    }

    pub(crate) fn release(self) {
        self.released.add_permits(1);
    }
}

impl HeldShelf {
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

    /// Breaks the next call of this name.
    pub(crate) fn fail(&self, call: &'static str, point: Point) {
        self.plans().once.push((call, point, Fate::Fails));
    }

    /// Every call fails from now on.
    pub(crate) fn go_down(&self) {
        self.plans().always = Some(Fate::Fails);
    }

    /// No call is answered from now on.
    pub(crate) fn fall_silent(&self) {
        self.plans().always = Some(Fate::Silent);
    }

    /// Calls are answered again.
    pub(crate) fn come_back(&self) {
        self.plans().always = None;
    }

    /// The calls so far, which are then forgotten.
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
            planned.map(|place| plans.once.remove(place).2).or_else(|| plans.always.clone())
        };
        match fate {
            None => Ok(()),
            Some(Fate::Fails) => Err(StoreError::unavailable("shelf")),
            Some(Fate::Silent) => std::future::pending().await,
            Some(Fate::Held(reached, released)) => {
                reached.add_permits(1);
                released.acquire().await.expect("it is not closed").forget();
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
impl SharedCache for HeldShelf {
    async fn get(&self, key: CacheKey) -> Result<Lookup, StoreError> {
        self.pass("get", self.inner.get(key)).await
    }

    async fn put(
        &self,
        key: CacheKey,
        entry: &CacheEntry,
        life: Duration,
    ) -> Result<bool, StoreError> {
        let (this, entry) = (self.clone(), entry.clone());
        let putting = async move { this.pass("put", this.inner.put(key, &entry, life)).await };
        tokio::spawn(putting).await.expect("no panic")
    }

    async fn invalidate_below(
        &self,
        key: CacheKey,
        revision: u64,
        life: Duration,
    ) -> Result<(), StoreError> {
        self.pass("invalidate_below", self.inner.invalidate_below(key, revision, life)).await
    }
}
