//! Heartbeats in flight of one subscription, and how long a returned one keeps the listeners connected.
//!
//! Invariant: that time counts from when the heartbeat was *sent*. Texts arrive in the order in which they
//! were sent, so a listener misses at most what was sent since then.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Maximum number of heartbeats in flight; the oldest is dropped.
const MAX_IN_FLIGHT: usize = 32;

/// Heartbeats in flight: number and time of sending.
#[derive(Clone, Debug)]
pub(crate) struct Heartbeats {
    lease: Duration,
    in_flight: VecDeque<(u64, Instant)>,
}

impl Heartbeats {
    /// Begins a subscription, in which a returned heartbeat keeps the listeners connected for `lease`.
    pub(crate) fn new(lease: Duration) -> Self {
        Self { lease, in_flight: VecDeque::new() }
    }

    /// Records a heartbeat. To be called before it is sent.
    pub(crate) fn record(&mut self, number: u64, now: Instant) {
        if self.in_flight.len() >= MAX_IN_FLIGHT {
            self.in_flight.pop_front();
        }
        self.in_flight.push_back((number, now));
    }

    /// Removes a returned heartbeat and all earlier ones. Returns until when the listeners are connected,
    /// which may be in the past; `None` if the heartbeat is of an earlier subscription.
    pub(crate) fn take(&mut self, number: u64) -> Option<Instant> {
        let index = self.in_flight.iter().position(|(one, _)| *one == number)?;
        let sent_at = self.in_flight.drain(..=index).next_back().map(|(_, sent_at)| sent_at)?;
        Some(sent_at + self.lease)
    }
}
