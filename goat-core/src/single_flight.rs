//! Single-flight: concurrent reads of one key share one read.
//!
//! Invariants:
//! - a caller shares the value of a read only if that read began after the call, so the value
//!   reflects every write that completed before the call;
//! - a read that fails fails every caller that waited for it: failures do not queue;
//! - a caller that is dropped during its read is replaced by the next caller in line.

use std::collections::HashMap;
use std::hash::Hash;

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Runs at most one read per key at a time.
#[derive(Debug)]
pub(crate) struct SingleFlight<K: Copy + Eq + Hash, V, E> {
    flights: Mutex<HashMap<K, Arc<Flight<V, E>>>>,
    /// A logical clock that orders calls, and the beginnings and ends of reads.
    clock: AtomicU64,
}

/// The callers of one key: the lock's holder reads, the others wait in line. Contains the last
/// completed read.
type Flight<V, E> = tokio::sync::Mutex<Option<Completed<V, E>>>;

#[derive(Debug)]
struct Completed<V, E> {
    began: u64,
    ended: u64,
    outcome: Result<V, Arc<E>>,
}

impl<V, E> Completed<V, E> {
    fn serves(&self, called: u64) -> bool {
        match self.outcome {
            Ok(_) => self.began > called,
            Err(_) => self.ended > called,
        }
    }
}

impl<K: Copy + Eq + Hash, V, E> Default for SingleFlight<K, V, E> {
    fn default() -> Self {
        Self { flights: Mutex::default(), clock: AtomicU64::new(0) }
    }
}

impl<K: Copy + Eq + Hash, V: Clone, E> SingleFlight<K, V, E> {
    /// Returns the outcome of `read`, or of another caller's read that may be shared.
    pub(crate) async fn run<R>(&self, key: K, read: impl FnOnce() -> R) -> Result<V, Arc<E>>
    where
        R: Future<Output = Result<V, E>>,
    {
        let called = self.tick();
        let caller = self.join(key);
        let mut completed = caller.flight.lock().await;
        if let Some(completed) = completed.as_ref().filter(|completed| completed.serves(called)) {
            return completed.outcome.clone();
        }
        let began = self.tick();
        let outcome = read().await.map_err(Arc::new);
        *completed = Some(Completed { began, ended: self.tick(), outcome: outcome.clone() });
        outcome
    }

    fn join(&self, key: K) -> Caller<'_, K, V, E> {
        let flight = Arc::clone(self.lock().entry(key).or_default());
        Caller { flights: self, key, flight }
    }
}

impl<K: Copy + Eq + Hash, V, E> SingleFlight<K, V, E> {
    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Arc<Flight<V, E>>>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One caller of a flight. The last one removes the flight.
struct Caller<'a, K: Copy + Eq + Hash, V, E> {
    flights: &'a SingleFlight<K, V, E>,
    key: K,
    flight: Arc<Flight<V, E>>,
}

impl<K: Copy + Eq + Hash, V, E> Drop for Caller<'_, K, V, E> {
    fn drop(&mut self) {
        let mut flights = self.flights.lock();
        // ATOMIC: callers join under this lock, so a count of two means the map and this caller.
        if Arc::strong_count(&self.flight) == 2 {
            flights.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use tokio::sync::Notify;
    use tokio::task::JoinSet;

    type Reads = SingleFlight<(), usize, &'static str>;

    /// Waits until `count` callers have joined.
    async fn joined(reads: &Reads, count: usize) {
        while reads.lock().get(&()).map_or(0, |flight| Arc::strong_count(flight) - 1) < count {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn callers_during_a_read_share_the_next_one() {
        let reads: Arc<Reads> = Arc::default();
        let (count, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let call = || {
            let (reads, count, gate) = (Arc::clone(&reads), Arc::clone(&count), Arc::clone(&gate));
            async move {
                let read = || async move {
                    let number = count.fetch_add(1, Ordering::SeqCst);
                    gate.notified().await;
                    Ok(number)
                };
                reads.run((), read).await.expect("the read succeeds")
            }
        };
        let first = tokio::spawn(call());
        joined(&reads, 1).await;
        let mut others = JoinSet::new();
        for _ in 0..20 {
            others.spawn(call());
        }
        joined(&reads, 21).await;
        gate.notify_one();
        assert_eq!(first.await.expect("no panic"), 0);
        gate.notify_one();
        assert_eq!(others.join_all().await, [1; 20]);
        assert_eq!(count.load(Ordering::SeqCst), 2);
        assert!(reads.lock().is_empty(), "a completed flight is removed");
    }

    #[tokio::test]
    async fn dropped_reader_is_replaced_and_a_failure_is_shared() {
        let reads: Arc<Reads> = Arc::default();
        let dropped = tokio::spawn({
            let reads = Arc::clone(&reads);
            async move { reads.run((), std::future::pending).await }
        });
        joined(&reads, 1).await;
        let count = Arc::new(AtomicUsize::new(0));
        let mut others = JoinSet::new();
        for _ in 0..5 {
            let (reads, count) = (Arc::clone(&reads), Arc::clone(&count));
            others.spawn(async move {
                let read = || async move {
                    count.fetch_add(1, Ordering::SeqCst);
                    Err("unavailable")
                };
                reads.run((), read).await
            });
        }
        joined(&reads, 6).await;
        dropped.abort();
        for outcome in others.join_all().await {
            assert_eq!(*outcome.expect_err("the read fails"), "unavailable");
        }
        assert_eq!(count.load(Ordering::SeqCst), 1);
        assert_eq!(reads.run((), || async { Ok(7) }).await, Ok(7), "later callers read again");
    }

    #[tokio::test]
    async fn failure_of_a_read_from_before_the_call_is_shared() {
        let reads: Arc<Reads> = Arc::default();
        let gate = Arc::new(Notify::new());
        let first = tokio::spawn({
            let (reads, gate) = (Arc::clone(&reads), Arc::clone(&gate));
            async move {
                let read = || async move {
                    gate.notified().await;
                    Err("unavailable")
                };
                reads.run((), read).await
            }
        });
        joined(&reads, 1).await;
        let second = tokio::spawn({
            let reads = Arc::clone(&reads);
            async move { reads.run((), || async { panic!("it waits for the first") }).await }
        });
        joined(&reads, 2).await;
        gate.notify_one();
        assert!(first.await.expect("no panic").is_err());
        assert!(second.await.expect("no second read").is_err());
    }
}
