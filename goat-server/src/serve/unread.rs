//! Bound on the unread response bytes of an HTTP/2 connection (W3).
//!
//! Under HTTP/2 a client decides how much of a response it reads, on many streams at once, and the rest
//! stays in memory. Every request therefore reserves the size of a small response before it is served.
//! A larger response reserves more of what is left. A request that finds nothing left waits, with the
//! request timeout, until the client reads.
//!
//! Responses that may exceed the capacity, such as pages of lists, are made one after the other
//! ([`LargeResponses`]), so that requests served at once do not make one each.
//!
//! HTTP/1 needs no such bound: a connection has one response at a time.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Maximum number of unread response bytes of a connection.
const CAPACITY: usize = 256 * 1024;

/// What a request reserves: the maximum size of a response to an unauthenticated client (W2).
const RESERVED: u32 = 8 * 1024;

/// Maximum number of concurrent streams. More of them could not be served at once; a client opens
/// further connections.
///
/// RFC 9113 recommends 100. With 32, all streams of a client that reads nothing hold no more than
/// the capacity, and none waits for another one of a client that reads.
pub(super) const MAX_STREAMS: u32 = CAPACITY as u32 / RESERVED;

/// The capacity of one connection. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Unread {
    capacity: Arc<Semaphore>,
    large: LargeResponses,
}

/// The reservation of one response, until it is dropped.
#[derive(Debug)]
pub(super) struct Reservation(OwnedSemaphorePermit);

impl Unread {
    pub(super) fn new() -> Self {
        let large = LargeResponses(Arc::new(Semaphore::new(1)));
        Self { capacity: Arc::new(Semaphore::new(CAPACITY)), large }
    }

    /// Returns the turns of the connection's large responses.
    pub(super) fn large(&self) -> LargeResponses {
        self.large.clone()
    }

    /// Reserves the size of a small response, if there is room now.
    pub(super) fn try_reserve(&self) -> Option<Reservation> {
        Arc::clone(&self.capacity).try_acquire_many_owned(RESERVED).ok().map(Reservation)
    }

    /// Reserves the size of a small response, when there is room.
    pub(super) async fn reserve(self) -> Option<Reservation> {
        // The semaphore is never closed.
        self.capacity.acquire_many_owned(RESERVED).await.ok().map(Reservation)
    }
}

/// The turns of one connection's large responses, in the extensions of its requests. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct LargeResponses(Arc<Semaphore>);

/// The turn of a large response, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn(#[expect(dead_code, reason = "held")] Option<OwnedSemaphorePermit>);

impl LargeResponses {
    /// Waits until the client has read the connection's large response before this one.
    pub(crate) async fn turn(self) -> Turn {
        // The semaphore is never closed.
        Turn(self.0.acquire_owned().await.ok())
    }
}

impl Reservation {
    /// Adapts the reservation to a response: the rest is free again, and a larger response takes more
    /// of what is left, so that further requests wait.
    pub(super) fn fit(&mut self, size: u64) {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let reserved = self.0.num_permits();
        if size < reserved {
            drop(self.0.split(reserved - size));
            return;
        }
        let semaphore = Arc::clone(self.0.semaphore());
        let more = (size - reserved).min(semaphore.available_permits());
        if let Ok(more) = u32::try_from(more)
            && let Ok(more) = semaphore.try_acquire_many_owned(more)
        {
            self.0.merge(more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// W3.
    #[test]
    fn reservations_never_exceed_the_capacity() {
        let unread = Unread::new();
        let small: Vec<_> =
            (0..MAX_STREAMS).map(|_| unread.try_reserve().expect("a place")).collect();
        assert!(unread.try_reserve().is_none(), "as many as there are streams");
        drop(small);

        let mut large = unread.try_reserve().expect("a place");
        large.fit(1 << 30);
        assert!(unread.try_reserve().is_none(), "a large response takes all");
        drop(large);

        let mut tiny = unread.try_reserve().expect("a place");
        tiny.fit(1000);
        assert_eq!(unread.capacity.available_permits(), CAPACITY - 1000);
        drop(tiny);
        assert_eq!(unread.capacity.available_permits(), CAPACITY);
    }
}
