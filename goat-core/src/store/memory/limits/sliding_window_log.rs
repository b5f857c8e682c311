//! Sliding-window log of one key: the instants of its allowed calls, oldest first.
//!
//! Invariants: instants never decrease from the oldest to the newest; there are never more of them
//! than the limit.

use std::time::Duration;

use crate::limit::{Quota, StoreDecision};

use super::counter::{Counter, is_long, nanoseconds};

/// Marks an empty place: later than any instant that [`nanoseconds`] returns.
const EMPTY: u64 = u64::MAX;

/// The capacity of the first log that does not fit inline.
const FIRST_CAPACITY: u32 = 4;

/// A quota in the units of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    /// The number of calls.
    pub(super) limit: u32,
    /// The window in nanoseconds.
    pub(super) window: u64,
}

impl From<Quota> for Rule {
    fn from(quota: Quota) -> Self {
        Self { limit: quota.limit(), window: nanoseconds(quota.window()) }
    }
}

/// The instants of one key, in nanoseconds of the monotonic clock. 24 bytes, including the first two
/// instants.
#[derive(Clone, Debug)]
pub(super) enum SlidingWindowLog {
    /// None, one or two, from the left.
    Inline([u64; 2]),
    /// A ring buffer with `len` entries from `head` on.
    Ring { slots: Box<[u64]>, head: u32, len: u32 },
}

impl Counter for SlidingWindowLog {
    type Rule = Rule;
    type Span = u64;

    const NEW: Self = Self::Inline([EMPTY; 2]);

    fn span(rule: Rule) -> u64 {
        rule.window
    }

    fn is_long(window: u64) -> bool {
        is_long(window)
    }

    fn acquire(&mut self, rule: Rule, now: u64) -> StoreDecision {
        self.drop_expired(rule.window, now);
        if let Some(limited) = self.limited(rule, now) {
            return limited;
        }
        self.push(now, rule.limit);
        self.allowed(rule, now)
    }

    fn peek(&mut self, rule: Rule, now: u64) -> StoreDecision {
        self.drop_expired(rule.window, now);
        self.limited(rule, now).unwrap_or_else(|| self.allowed(rule, now))
    }

    fn fork(&mut self, rule: Rule, now: u64) -> Result<Self, StoreDecision> {
        self.drop_expired(rule.window, now);
        match self.limited(rule, now) {
            Some(limited) => Err(limited),
            None => Ok(self.clone()),
        }
    }

    fn expires_at(&self, window: u64) -> u64 {
        let newest = match self {
            Self::Inline([EMPTY, _]) => return 0,
            Self::Inline([only, EMPTY]) => *only,
            Self::Inline([_, newest]) => *newest,
            Self::Ring { len: 0, .. } => return 0,
            Self::Ring { slots, head, len } => slots[ring_index(slots, *head, *len - 1)],
        };
        newest.saturating_add(window)
    }

    #[cfg(test)]
    fn heap_bytes(&self) -> usize {
        match self {
            Self::Inline(_) => 0,
            Self::Ring { slots, .. } => size_of_val(&**slots),
        }
    }
}

impl SlidingWindowLog {
    /// Returns the decision for a call at `now` if the log is full. Expired entries count until
    /// [`SlidingWindowLog::drop_expired`].
    fn limited(&self, rule: Rule, now: u64) -> Option<StoreDecision> {
        (self.len() >= rule.limit).then(|| {
            let wait = self.until_next_available(rule.window, now);
            StoreDecision { remaining: 0, reset_after: wait, retry_after: Some(wait) }
        })
    }

    fn allowed(&self, rule: Rule, now: u64) -> StoreDecision {
        StoreDecision {
            remaining: rule.limit.saturating_sub(self.len()),
            reset_after: self.until_next_available(rule.window, now),
            retry_after: None,
        }
    }

    /// Returns the number of entries.
    fn len(&self) -> u32 {
        match self {
            Self::Inline(instants) => instants.iter().filter(|at| **at != EMPTY).count() as u32,
            Self::Ring { len, .. } => *len,
        }
    }

    fn oldest(&self) -> Option<u64> {
        match self {
            Self::Inline([EMPTY, _]) | Self::Ring { len: 0, .. } => None,
            Self::Inline([oldest, _]) => Some(*oldest),
            Self::Ring { slots, head, .. } => Some(slots[*head as usize]),
        }
    }

    fn until_next_available(&self, window: u64, now: u64) -> Duration {
        let available_at = self.oldest().unwrap_or(now).saturating_add(window);
        Duration::from_nanos(available_at.saturating_sub(now))
    }

    /// Drops entries outside the half-open window that ends at `now`.
    fn drop_expired(&mut self, window: u64, now: u64) {
        while self.oldest().is_some_and(|oldest| oldest.saturating_add(window) <= now) {
            match self {
                Self::Inline([oldest, newest]) => (*oldest, *newest) = (*newest, EMPTY),
                Self::Ring { slots, head, len } => {
                    *head = ring_index(slots, *head, 1) as u32;
                    *len -= 1;
                }
            }
        }
    }

    fn push(&mut self, at: u64, limit: u32) {
        match self {
            Self::Inline([free @ EMPTY, _] | [_, free @ EMPTY]) => *free = at,
            Self::Ring { slots, head, len } if (*len as usize) < slots.len() => {
                let next = ring_index(slots, *head, *len);
                slots[next] = at;
                *len += 1;
            }
            Self::Inline(_) | Self::Ring { .. } => {
                self.grow(limit);
                self.push(at, limit);
            }
        }
    }

    /// Doubles the capacity, up to the limit; called on a full log below the limit.
    fn grow(&mut self, limit: u32) {
        let len = self.len();
        let capacity = len.saturating_mul(2).max(FIRST_CAPACITY).min(limit);
        let mut entries = Vec::with_capacity(capacity as usize);
        match self {
            Self::Inline(instants) => entries.extend_from_slice(instants),
            Self::Ring { slots, head, .. } => {
                let (newer, older) = slots.split_at(*head as usize);
                entries.extend_from_slice(older);
                entries.extend_from_slice(newer);
            }
        }
        entries.resize(capacity as usize, EMPTY);
        *self = Self::Ring { slots: entries.into_boxed_slice(), head: 0, len };
    }
}

/// Returns the index in the ring of the entry at `offset` after `head`.
fn ring_index(slots: &[u64], head: u32, offset: u32) -> usize {
    let index = head as usize + offset as usize;
    if index < slots.len() { index } else { index - slots.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_takes_24_bytes_including_the_first_two_entries() {
        assert_eq!(size_of::<SlidingWindowLog>(), 24);
        let mut log = SlidingWindowLog::NEW;
        let rule = Rule { limit: 60, window: 1_000_000_000 };
        log.acquire(rule, 0);
        log.acquire(rule, 0);
        assert_eq!(log.heap_bytes(), 0);
        log.acquire(rule, 0);
        assert_eq!(log.heap_bytes(), 32);
    }

    /// B7: a log is bounded by its limit at any rate of calls.
    #[test]
    fn log_never_exceeds_its_limit() {
        for limit in [1, 2, 3, 5, 100] {
            let rule = Rule { limit, window: 1_000 };
            let mut log = SlidingWindowLog::NEW;
            for now in 0..10_000 {
                log.acquire(rule, now);
                assert!(log.len() <= limit);
            }
            assert!(log.heap_bytes() <= limit as usize * 8);
        }
    }

    #[test]
    fn end_of_the_clock_range_does_not_overflow() {
        let rule = Rule { limit: 1, window: 1_000 };
        let mut log = SlidingWindowLog::NEW;
        let end = nanoseconds(Duration::MAX);
        assert_eq!(log.acquire(rule, end).retry_after, None);
        assert!(log.acquire(rule, end).retry_after.is_some());
    }
}
