//! One part of the keys: their logs, when each may be dropped, and what the keys share that found
//! no room.
//!
//! Invariants: `due` names every key once, at an instant no later than its log has passed; there
//! are never more keys than `room`, nor more overflow logs than [`MOST_OVERFLOW_LOGS`].

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use crate::limit::Spent;

use super::log::{Log, Rule};
use super::slot::{Seed, Slot};

/// How many due keys a call looks at. Each look finds a key that has passed, or one that was
/// admitted since the last look; so two a call keep up with any traffic.
const LOOKS: usize = 2;

/// How many a call looks at that would otherwise find no room.
const LOOKS_FOR_ROOM: usize = 32;

/// How many quotas may have an overflow log at once. A quota past that is refused until one of
/// them has passed.
const MOST_OVERFLOW_LOGS: usize = 16;

/// A key to look at when its time has come. Ordered by that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: u64,
    window: u64,
    slot: Slot,
}

/// A log that all keys of one quota share that came while there was no room.
struct Overflow {
    rule: Rule,
    log: Log,
}

impl Overflow {
    fn passes_at(&self) -> u64 {
        self.log.passes_at(self.rule.window)
    }
}

pub(super) struct Shard {
    /// The latest instant that any caller brought.
    now: u64,
    room: usize,
    logs: HashMap<Slot, Log, Seed>,
    due: BinaryHeap<Reverse<Due>>,
    overflow: Vec<Overflow>,
    overflowed: u64,
}

impl Shard {
    pub(super) fn new(room: usize, seed: Seed) -> Self {
        Self {
            now: 0,
            room,
            logs: HashMap::with_hasher(seed),
            due: BinaryHeap::new(),
            overflow: Vec::new(),
            overflowed: 0,
        }
    }

    pub(super) fn keys(&self) -> usize {
        self.logs.len()
    }

    pub(super) fn overflowed(&self) -> u64 {
        self.overflowed
    }

    pub(super) fn spend(&mut self, slot: Slot, rule: Rule, now: u64) -> Spent {
        // Two threads may arrive in another order than they read the clock; logs stay sorted.
        self.now = self.now.max(now);
        // Before anything is dropped: a log of its own, even one that has passed, says that nothing
        // in the overflow log is this key's.
        if let Some(log) = self.logs.get_mut(&slot) {
            let spent = log.spend(rule, self.now);
            self.drop_passed(LOOKS);
            return spent;
        }
        let full = self.logs.len() >= self.room;
        self.drop_passed(if full { LOOKS_FOR_ROOM } else { LOOKS });
        self.overflow.retain(|overflow| overflow.passes_at() > self.now);
        if self.logs.len() >= self.room {
            self.spend_shared(rule)
        } else {
            self.spend_first(slot, rule)
        }
    }

    /// Makes a log for a key that has none. Any of the overflow log may have been this key's.
    fn spend_first(&mut self, slot: Slot, rule: Rule) -> Spent {
        let now = self.now;
        let mut log = match self.overflow.iter_mut().find(|overflow| overflow.rule == rule) {
            Some(overflow) => match overflow.log.fork(rule, now) {
                Ok(log) => log,
                Err(refusal) => return refusal,
            },
            None => Log::new(),
        };
        let spent = log.spend(rule, now);
        let at = log.passes_at(rule.window);
        self.logs.insert(slot, log);
        self.due.push(Reverse(Due { at, window: rule.window, slot }));
        spent
    }

    /// Spends from the log that all keys of this quota share that find no room.
    fn spend_shared(&mut self, rule: Rule) -> Spent {
        self.overflowed = self.overflowed.saturating_add(1);
        if let Some(overflow) = self.overflow.iter_mut().find(|overflow| overflow.rule == rule) {
            return overflow.log.spend(rule, self.now);
        }
        if self.overflow.len() >= MOST_OVERFLOW_LOGS {
            let next = self.overflow.iter().map(Overflow::passes_at).min().unwrap_or(self.now);
            let wait = Duration::from_nanos(next.saturating_sub(self.now));
            return Spent { remaining: 0, reset_after: wait, retry_after: Some(wait) };
        }
        let mut log = Log::new();
        let spent = log.spend(rule, self.now);
        self.overflow.push(Overflow { rule, log });
        spent
    }

    /// Looks at keys that are due, at most so many: drops those that have passed and puts the
    /// others off.
    fn drop_passed(&mut self, looks: usize) {
        for _ in 0..looks {
            let Some(mut first) = self.due.peek_mut().filter(|first| first.0.at <= self.now) else {
                return;
            };
            let Due { slot, window, .. } = first.0;
            let passes_at = self.logs.get(&slot).map_or(0, |log| log.passes_at(window));
            if passes_at <= self.now {
                PeekMut::pop(first);
                self.logs.remove(&slot);
            } else {
                first.0.at = passes_at;
            }
        }
    }

    /// The bytes of the tables and of all logs, the places included that are free.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        // The standard table fills seven eighths of a power of two, with a byte for each place.
        let places = (self.logs.capacity() * 8 / 7).next_power_of_two();
        let overflow = self.overflow.iter().map(|overflow| &overflow.log);
        places * (size_of::<(Slot, Log)>() + 1)
            + self.due.capacity() * size_of::<Due>()
            + self.overflow.capacity() * size_of::<Overflow>()
            + self.logs.values().chain(overflow).map(Log::heap_bytes).sum::<usize>()
    }
}
