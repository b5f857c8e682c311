//! Tokens whose key is not known: how an application hears of them without being driven by them.
//!
//! Anybody can write any `kid` into a token that nobody signed. So what is told is not how many there
//! were but that there was one, and after it was told, nothing more for a while.
//!
//! Invariant: two tellings are at least [`PAUSE`] apart, however many tokens come and whoever waits.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::Time;

/// How long nothing is told after something was.
pub(super) const PAUSE: Duration = Duration::from_secs(30);

/// Why a token is not accepted whose `kid` names none of the keys: a new key of the issuer, an old
/// one that it removed, or a forgery. The [source](std::error::Error::source) of the error then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownKey;

impl fmt::Display for UnknownKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("none of the keys has the id that the token names")
    }
}

impl std::error::Error for UnknownKey {}

/// Who wants to hear of unknown keys, and whether it is time.
#[derive(Debug, Default)]
pub(super) struct UnknownKeys {
    count: AtomicU64,
    /// Told and not yet heard.
    told: AtomicBool,
    /// From when on something may be told again, in milliseconds of the stopwatch.
    next: AtomicU64,
    waiting: Notify,
}

impl UnknownKeys {
    /// There was one.
    pub(super) fn note(&self, time: &Time) {
        self.count.fetch_add(1, SeqCst);
        if self.told.swap(true, SeqCst) {
            return;
        }
        // Only now, since whoever heard of the last one has set the time before it let go.
        if stopwatch(time) >= self.next.load(SeqCst) {
            self.waiting.notify_one();
        } else {
            self.told.store(false, SeqCst);
        }
    }

    /// Waits until there is one to be told of. Lost to nobody if it is dropped while it waits.
    pub(super) async fn heard(&self, time: &Time) {
        self.waiting.notified().await;
        // ATOMIC: in this order. While `told` stands, nothing else is told.
        let pause = u64::try_from(PAUSE.as_millis()).unwrap_or(u64::MAX);
        self.next.store(stopwatch(time).saturating_add(pause), SeqCst);
        self.told.store(false, SeqCst);
    }

    pub(super) fn count(&self) -> u64 {
        self.count.load(SeqCst)
    }
}

fn stopwatch(time: &Time) -> u64 {
    u64::try_from(time.elapsed().as_millis()).unwrap_or(u64::MAX)
}
