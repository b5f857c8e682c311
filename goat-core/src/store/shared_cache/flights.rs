//! Reads of one thing at once become one.
//!
//! Invariant: whoever takes part in another's read came before it began, so that it shows whatever
//! they know to have been written.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::StoreError;

use super::CacheKey;

/// The reads that are under way.
#[derive(Debug)]
pub(super) struct Flights<V> {
    under_way: Mutex<HashMap<CacheKey, Arc<Flight<V>>>>,
    /// Counts arrivals and beginnings, so that it is known which was first.
    moments: AtomicU64,
}

/// One thing that is being read. Who holds the lock reads; who waits for it is in line.
#[derive(Debug)]
struct Flight<V>(tokio::sync::Mutex<Option<Landed<V>>>);

/// The read that ended last.
#[derive(Debug)]
struct Landed<V> {
    began: u64,
    outcome: Result<V, Failure>,
}

/// What is told of a failure to those who took part in it.
#[derive(Clone, Copy, Debug)]
struct Failure {
    operation: &'static str,
    is_unavailable: bool,
}

impl Failure {
    fn of(error: &StoreError) -> Self {
        Self { operation: error.operation(), is_unavailable: error.is_unavailable() }
    }

    fn error(self) -> StoreError {
        let error = if self.is_unavailable { StoreError::unavailable } else { StoreError::broken };
        error(self.operation).with_source("somebody else's read failed")
    }
}

impl<V> Default for Flights<V> {
    fn default() -> Self {
        Self { under_way: Mutex::default(), moments: AtomicU64::new(0) }
    }
}

impl<V: Clone> Flights<V> {
    /// Reads, or takes part in a read that begins from now on.
    pub(super) async fn join<R>(
        &self,
        key: CacheKey,
        read: impl FnOnce() -> R,
    ) -> Result<V, StoreError>
    where
        R: Future<Output = Result<V, StoreError>>,
    {
        let came = self.moment();
        let seat = self.seat(key);
        let mut landed = seat.flight.0.lock().await;
        if let Some(landed) = landed.as_ref()
            && landed.began > came
        {
            return landed.outcome.clone().map_err(Failure::error);
        }
        // If this is dropped on the way, the next in line reads.
        let began = self.moment();
        let outcome = read().await;
        let told = outcome.as_ref().map(V::clone).map_err(Failure::of);
        *landed = Some(Landed { began, outcome: told });
        outcome
    }

    fn moment(&self) -> u64 {
        self.moments.fetch_add(1, Ordering::SeqCst)
    }

    fn seat(&self, key: CacheKey) -> Seat<'_, V> {
        let flight = self.lock().entry(key).or_insert_with(Flight::waiting).clone();
        Seat { flights: self, key, flight }
    }
}

impl<V> Flights<V> {
    fn lock(&self) -> MutexGuard<'_, HashMap<CacheKey, Arc<Flight<V>>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> Flight<V> {
    fn waiting() -> Arc<Self> {
        Arc::new(Self(tokio::sync::Mutex::new(None)))
    }
}

/// A place in a flight, which ends with the last one.
struct Seat<'a, V> {
    flights: &'a Flights<V>,
    key: CacheKey,
    flight: Arc<Flight<V>>,
}

impl<V> Drop for Seat<'_, V> {
    fn drop(&mut self) {
        let mut under_way = self.flights.lock();
        // Places are given under this lock, so that the count holds: the list's and this one's.
        if Arc::strong_count(&self.flight) == 2 {
            under_way.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use tokio::sync::Notify;
    use tokio::task::JoinSet;

    const KEY: CacheKey = CacheKey::Roles;

    /// Waits until so many have a place.
    async fn seated(flights: &Flights<usize>, many: usize) {
        while flights.lock().get(&KEY).map_or(0, |flight| Arc::strong_count(flight) - 1) < many {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn whoever_comes_during_a_read_takes_part_in_the_next() {
        let flights: Arc<Flights<usize>> = Arc::default();
        let (reads, held) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let ask = || {
            let (flights, reads, held) =
                (Arc::clone(&flights), Arc::clone(&reads), Arc::clone(&held));
            async move {
                flights
                    .join(KEY, || async move {
                        let number = reads.fetch_add(1, Ordering::SeqCst);
                        held.notified().await;
                        Ok(number)
                    })
                    .await
                    .expect("it reads")
            }
        };
        let first = tokio::spawn(ask());
        seated(&flights, 1).await;
        let mut others = JoinSet::new();
        for _ in 0..20 {
            others.spawn(ask());
        }
        seated(&flights, 21).await;
        held.notify_one();
        assert_eq!(first.await.expect("no panic"), 0);
        held.notify_one();
        assert_eq!(others.join_all().await, [1; 20]);
        assert_eq!(reads.load(Ordering::SeqCst), 2);
        assert!(flights.lock().is_empty(), "what has landed is not remembered");
    }

    #[tokio::test]
    async fn a_failure_is_shared_and_a_reader_that_goes_away_is_replaced() {
        let flights: Arc<Flights<usize>> = Arc::default();
        let gone = tokio::spawn({
            let flights = Arc::clone(&flights);
            async move { flights.join(KEY, std::future::pending).await }
        });
        seated(&flights, 1).await;
        let reads = Arc::new(AtomicUsize::new(0));
        let mut others = JoinSet::new();
        for _ in 0..5 {
            let (flights, reads) = (Arc::clone(&flights), Arc::clone(&reads));
            others.spawn(async move {
                let read = || async move {
                    reads.fetch_add(1, Ordering::SeqCst);
                    Err(StoreError::unavailable("users.state"))
                };
                flights.join(KEY, read).await
            });
        }
        seated(&flights, 6).await;
        gone.abort();
        for outcome in others.join_all().await {
            let error = outcome.expect_err("it fails");
            assert_eq!((error.operation(), error.is_unavailable()), ("users.state", true));
        }
        assert_eq!(reads.load(Ordering::SeqCst), 1);
    }
}
