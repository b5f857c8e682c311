//! The log of one key: the instants at which it was admitted, oldest first.
//!
//! Invariants: instants never decrease from the oldest to the newest; there are never more of them
//! than the limit.

use std::time::Duration;

use crate::limit::{Quota, Spent};

use super::counter::{Counter, nanoseconds};

/// Stands where no instant is: later than any that [`nanoseconds`] gives.
const NEVER: u64 = u64::MAX;

/// The places of the first log that does not fit inline.
const FIRST_CAPACITY: u32 = 4;

/// A quota in the units of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    /// How many.
    pub(super) limit: u32,
    /// In how many nanoseconds.
    pub(super) window: u64,
}

impl From<Quota> for Rule {
    fn from(quota: Quota) -> Self {
        Self { limit: quota.limit(), window: nanoseconds(quota.window()) }
    }
}

/// The instants of one key, in nanoseconds of the stopwatch. 24 bytes, the first two instants
/// included.
#[derive(Clone, Debug)]
pub(super) enum SlidingWindowLog {
    /// None, one or two, from the left.
    Few([u64; 2]),
    /// A ring of `slots`, `len` of them in use from `head` on.
    Many { slots: Box<[u64]>, head: u32, len: u32 },
}

impl Counter for SlidingWindowLog {
    type Rule = Rule;
    type Span = u64;

    const NEW: Self = Self::Few([NEVER; 2]);

    fn span(rule: Rule) -> u64 {
        rule.window
    }

    fn spend(&mut self, rule: Rule, now: u64) -> Spent {
        self.forget(rule.window, now);
        if let Some(refusal) = self.refusal(rule, now) {
            return refusal;
        }
        self.push(now, rule.limit);
        Spent {
            remaining: rule.limit.saturating_sub(self.len()),
            reset_after: self.until_one_is_back(rule.window, now),
            retry_after: None,
        }
    }

    fn fork(&mut self, rule: Rule, now: u64) -> Result<Self, Spent> {
        self.forget(rule.window, now);
        match self.refusal(rule, now) {
            Some(refusal) => Err(refusal),
            None => Ok(self.clone()),
        }
    }

    fn passes_at(&self, window: u64) -> u64 {
        let newest = match self {
            Self::Few([NEVER, _]) => return 0,
            Self::Few([only, NEVER]) => *only,
            Self::Few([_, newest]) => *newest,
            Self::Many { len: 0, .. } => return 0,
            Self::Many { slots, head, len } => slots[place(slots, *head, *len - 1)],
        };
        newest.saturating_add(window)
    }

    #[cfg(test)]
    fn heap_bytes(&self) -> usize {
        match self {
            Self::Few(_) => 0,
            Self::Many { slots, .. } => size_of_val(&**slots),
        }
    }
}

impl SlidingWindowLog {
    /// What a call at `now` is told if the log is full. Counts what [`SlidingWindowLog::forget`] would drop.
    fn refusal(&self, rule: Rule, now: u64) -> Option<Spent> {
        (self.len() >= rule.limit).then(|| {
            let wait = self.until_one_is_back(rule.window, now);
            Spent { remaining: 0, reset_after: wait, retry_after: Some(wait) }
        })
    }

    /// How many instants there are.
    fn len(&self) -> u32 {
        match self {
            Self::Few(instants) => instants.iter().filter(|at| **at != NEVER).count() as u32,
            Self::Many { len, .. } => *len,
        }
    }

    fn oldest(&self) -> Option<u64> {
        match self {
            Self::Few([NEVER, _]) | Self::Many { len: 0, .. } => None,
            Self::Few([oldest, _]) => Some(*oldest),
            Self::Many { slots, head, .. } => Some(slots[*head as usize]),
        }
    }

    fn until_one_is_back(&self, window: u64, now: u64) -> Duration {
        let back = self.oldest().unwrap_or(now).saturating_add(window);
        Duration::from_nanos(back.saturating_sub(now))
    }

    /// Drops what has left the half-open window that ends with `now`.
    fn forget(&mut self, window: u64, now: u64) {
        while self.oldest().is_some_and(|oldest| oldest.saturating_add(window) <= now) {
            match self {
                Self::Few([oldest, newest]) => (*oldest, *newest) = (*newest, NEVER),
                Self::Many { slots, head, len } => {
                    *head = place(slots, *head, 1) as u32;
                    *len -= 1;
                }
            }
        }
    }

    fn push(&mut self, at: u64, limit: u32) {
        match self {
            Self::Few([free @ NEVER, _] | [_, free @ NEVER]) => *free = at,
            Self::Many { slots, head, len } if (*len as usize) < slots.len() => {
                let next = place(slots, *head, *len);
                slots[next] = at;
                *len += 1;
            }
            Self::Few(_) | Self::Many { .. } => {
                self.grow(limit);
                self.push(at, limit);
            }
        }
    }

    /// Doubles the places, up to the limit; called when all are taken and the limit is not reached.
    fn grow(&mut self, limit: u32) {
        let len = self.len();
        let capacity = len.saturating_mul(2).max(FIRST_CAPACITY).min(limit);
        let mut grown = Vec::with_capacity(capacity as usize);
        match self {
            Self::Few(instants) => grown.extend_from_slice(instants),
            Self::Many { slots, head, .. } => {
                let (newer, older) = slots.split_at(*head as usize);
                grown.extend_from_slice(older);
                grown.extend_from_slice(newer);
            }
        }
        grown.resize(capacity as usize, NEVER);
        *self = Self::Many { slots: grown.into_boxed_slice(), head: 0, len };
    }
}

/// Where in the ring the instant lies that comes `offset` after `head`.
fn place(slots: &[u64], head: u32, offset: u32) -> usize {
    let index = head as usize + offset as usize;
    if index < slots.len() { index } else { index - slots.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_takes_24_bytes_and_the_first_two_instants_no_more() {
        assert_eq!(size_of::<SlidingWindowLog>(), 24);
        let mut log = SlidingWindowLog::NEW;
        let rule = Rule { limit: 60, window: 1_000_000_000 };
        log.spend(rule, 0);
        log.spend(rule, 0);
        assert_eq!(log.heap_bytes(), 0);
        log.spend(rule, 0);
        assert_eq!(log.heap_bytes(), 32);
    }

    /// B7: a log is as long as its limit, however often it is asked.
    #[test]
    fn a_log_never_grows_past_its_limit() {
        for limit in [1, 2, 3, 5, 100] {
            let rule = Rule { limit, window: 1_000 };
            let mut log = SlidingWindowLog::NEW;
            for now in 0..10_000 {
                log.spend(rule, now);
                assert!(log.len() <= limit);
            }
            assert!(log.heap_bytes() <= limit as usize * 8);
        }
    }

    #[test]
    fn the_end_of_the_stopwatch_admits_nobody_by_overflow() {
        let rule = Rule { limit: 1, window: 1_000 };
        let mut log = SlidingWindowLog::NEW;
        let end = nanoseconds(Duration::MAX);
        assert_eq!(log.spend(rule, end).retry_after, None);
        assert!(log.spend(rule, end).retry_after.is_some());
    }
}
