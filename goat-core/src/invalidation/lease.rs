//! Lease: until when cached data may be used, because the invalidation channel is connected.
//!
//! Invariant: the lease expires by the stopwatch alone; no task has to run for it to end.

use std::time::Duration;

use crate::sync::atomic::{AtomicU64, Ordering};

/// The stopwatch reading, in nanoseconds, at which the lease expires.
#[derive(Debug)]
pub(crate) struct Lease(AtomicU64);

impl Default for Lease {
    /// A lease without end, as for a single node.
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl Lease {
    /// Whether the lease is valid at a stopwatch reading.
    pub(crate) fn holds(&self, elapsed: Duration) -> bool {
        // ATOMIC: a reader that sees a renewal also sees the caches cleared before it.
        nanoseconds(elapsed) < self.0.load(Ordering::SeqCst)
    }

    /// Ends the lease.
    pub(crate) fn end(&self) {
        self.0.store(0, Ordering::SeqCst);
    }

    /// Extends the lease to a stopwatch reading.
    pub(crate) fn renew(&self, until: Duration) {
        self.0.store(nanoseconds(until), Ordering::SeqCst);
    }
}

/// For a model, which returns to earlier states.
#[cfg(test)]
impl Lease {
    pub(crate) fn copied(&self) -> Self {
        Self(AtomicU64::new(self.until()))
    }

    pub(crate) fn until(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
