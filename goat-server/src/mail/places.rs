//! Places of the queue: a bounded count of letters that are reserved, waiting or under way.
//!
//! Invariants: no more places are taken than the bounds allow; a place is released when it is dropped,
//! whether its letter was delivered, lost or never written.

use std::sync::Arc;

use tokio::sync::watch;

/// The places. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Places {
    taken: Arc<watch::Sender<usize>>,
    /// The bound for letters that requests cause.
    requests: usize,
    /// The bound for notices: these have places that requests of strangers cannot take.
    notices: usize,
}

/// A place that is taken until it is dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<watch::Sender<usize>>);

impl Places {
    /// Creates places for `requests` letters, and a quarter more, at least ten, for notices alone.
    pub(super) fn new(requests: usize) -> Self {
        let headroom = (requests / 4).max(10);
        let notices = requests.saturating_add(headroom);
        Self { taken: Arc::new(watch::Sender::new(0)), requests, notices }
    }

    /// Takes a place for a letter that a request causes; `None` if the queue is full.
    pub(super) fn take(&self) -> Option<Place> {
        self.take_below(self.requests)
    }

    /// Takes a place for a notice.
    pub(super) fn take_for_notice(&self) -> Option<Place> {
        self.take_below(self.notices)
    }

    fn take_below(&self, bound: usize) -> Option<Place> {
        // ATOMIC: comparison and increment are one step under the lock of the channel.
        let taken = self.taken.send_if_modified(|taken| {
            let is_free = *taken < bound;
            *taken += usize::from(is_free);
            is_free
        });
        taken.then(|| Place(Arc::clone(&self.taken)))
    }

    /// Returns how many places are taken.
    pub(super) fn taken(&self) -> usize {
        *self.taken.borrow()
    }

    /// Resolves when no place is taken.
    pub(super) async fn all_free(&self) {
        // `self` holds the sender, so the wait cannot fail.
        let _ = self.taken.subscribe().wait_for(|taken| *taken == 0).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.send_modify(|taken| *taken -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_have_places_of_their_own() {
        for (requests, notices) in [(1, 11), (40, 50), (1000, 1250)] {
            let places = Places::new(requests);
            let taken: Vec<_> = std::iter::from_fn(|| places.take()).collect();
            assert_eq!(taken.len(), requests);
            let more: Vec<_> = std::iter::from_fn(|| places.take_for_notice()).collect();
            assert_eq!(taken.len() + more.len(), notices);
            assert!(places.take().is_none());
        }
    }

    #[test]
    fn dropped_place_is_free_again() {
        let places = Places::new(1);
        let place = places.take().expect("a place");
        assert!(places.take().is_none());
        drop(place);
        assert!(places.take().is_some());
        assert_eq!(places.taken(), 0);
    }

    #[test]
    fn concurrent_reservations_never_exceed_the_bound() {
        let places = Places::new(16);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        let place = places.take();
                        assert!(places.taken() <= 16);
                        let second = places.take();
                        assert!(places.taken() <= 16);
                        drop((place, second));
                    }
                });
            }
        });
        assert_eq!(places.taken(), 0);
    }
}
