//! Notification of tokens with an unknown `kid`, limited in rate.
//!
//! An unauthenticated client can send tokens with any `kid`. So the notification carries no count,
//! and is followed by a pause.
//!
//! Invariant: two notifications are at least [`INTERVAL`] apart, for any number of tokens and
//! waiters.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::Time;

/// Minimum time between two notifications.
pub(super) const INTERVAL: Duration = Duration::from_secs(30);

/// The token's `kid` matches no key: a new key of the issuer, a removed one, or a forgery. Appears
/// as the [source](std::error::Error::source) of the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownKey;

impl fmt::Display for UnknownKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("no key has the token's key id")
    }
}

impl std::error::Error for UnknownKey {}

/// State of the notification.
#[derive(Debug, Default)]
pub(super) struct UnknownKeys {
    count: AtomicU64,
    /// Notified, and not yet received.
    notified: AtomicBool,
    /// Time of the next permitted notification, in milliseconds of the monotonic clock.
    next: AtomicU64,
    waiting: Notify,
}

impl UnknownKeys {
    /// Records a token with an unknown key.
    pub(super) fn note(&self, time: &Time) {
        self.count.fetch_add(1, SeqCst);
        if self.notified.swap(true, SeqCst) {
            return;
        }
        // Checked after the swap: the last receiver sets `next` before it clears `notified`.
        if monotonic(time) >= self.next.load(SeqCst) {
            self.waiting.notify_one();
        } else {
            self.notified.store(false, SeqCst);
        }
    }

    /// Waits for the next notification. Cancel safe.
    pub(super) async fn notified(&self, time: &Time) {
        self.waiting.notified().await;
        // ATOMIC: in this order. While `notified` is set, no other notification is sent.
        let interval = u64::try_from(INTERVAL.as_millis()).unwrap_or(u64::MAX);
        self.next.store(monotonic(time).saturating_add(interval), SeqCst);
        self.notified.store(false, SeqCst);
    }

    pub(super) fn count(&self) -> u64 {
        self.count.load(SeqCst)
    }
}

fn monotonic(time: &Time) -> u64 {
    u64::try_from(time.elapsed().as_millis()).unwrap_or(u64::MAX)
}
