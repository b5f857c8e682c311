//! Until when what is remembered may be trusted, because invalidations of changes arrive.
//!
//! Invariant: the lease ends by the stopwatch, whoever has stopped running. Nobody must come and say
//! so in time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A stopwatch's reading, in nanoseconds, until which invalidations can be relied on.
#[derive(Debug)]
pub(crate) struct Lease(AtomicU64);

impl Default for Lease {
    /// For ever, as where there is only one node.
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl Lease {
    /// Whether it holds at a reading of the stopwatch.
    pub(crate) fn holds(&self, elapsed: Duration) -> bool {
        // ATOMIC: whoever sees a renewal sees that everything was forgotten before it.
        nanoseconds(elapsed) < self.0.load(Ordering::SeqCst)
    }

    /// It is over.
    pub(crate) fn end(&self) {
        self.0.store(0, Ordering::SeqCst);
    }

    /// It holds until then.
    pub(crate) fn renew(&self, until: Duration) {
        self.0.store(nanoseconds(until), Ordering::SeqCst);
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
