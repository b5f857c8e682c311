//! The counters of one kind in a shard, when each may be dropped, and what the keys share that
//! found no room.
//!
//! Invariants: `due` names every key once, at an instant no later than its counter has passed;
//! there are never more shared counters than [`MOST_SHARED`].

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use crate::limit::Spent;

use super::counter::Counter;
use super::counter_id::{CounterId, Seed};

/// How many quotas may have an overflow counter at once. A quota past that is refused until one of
/// them has passed.
const MOST_SHARED: usize = 16;

/// A key to look at when its time has come. Ordered by that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due<S> {
    at: u64,
    span: S,
    id: CounterId,
}

/// A counter that all keys of one quota share that came while there was no room.
struct Overflow<C: Counter> {
    rule: C::Rule,
    counter: C,
}

impl<C: Counter> Overflow<C> {
    fn passes_at(&self) -> u64 {
        self.counter.passes_at(C::span(self.rule))
    }
}

pub(super) struct Table<C: Counter> {
    counters: HashMap<CounterId, C, Seed>,
    due: BinaryHeap<Reverse<Due<C::Span>>>,
    overflow: Vec<Overflow<C>>,
}

impl<C: Counter> Table<C> {
    pub(super) fn new(seed: Seed) -> Self {
        Self { counters: HashMap::with_hasher(seed), due: BinaryHeap::new(), overflow: Vec::new() }
    }

    pub(super) fn keys(&self) -> usize {
        self.counters.len()
    }

    /// Spends from a counter of the key's own, if it has one.
    pub(super) fn spend_own(&mut self, id: CounterId, rule: C::Rule, now: u64) -> Option<Spent> {
        Some(self.counters.get_mut(&id)?.spend(rule, now))
    }

    /// Makes a counter for a key that has none. Any of the overflow may have been this key's.
    pub(super) fn spend_first(&mut self, id: CounterId, rule: C::Rule, now: u64) -> Spent {
        self.drop_passed_overflow(now);
        let mut counter = match self.overflow.iter_mut().find(|overflow| overflow.rule == rule) {
            Some(overflow) => match overflow.counter.fork(rule, now) {
                Ok(counter) => counter,
                Err(refusal) => return refusal,
            },
            None => C::NEW,
        };
        let spent = counter.spend(rule, now);
        let span = C::span(rule);
        let at = counter.passes_at(span);
        self.counters.insert(id, counter);
        self.due.push(Reverse(Due { at, span, id }));
        spent
    }

    /// Spends from the counter that all keys of this quota share that find no room.
    pub(super) fn spend_shared(&mut self, rule: C::Rule, now: u64) -> Spent {
        self.drop_passed_overflow(now);
        if let Some(overflow) = self.overflow.iter_mut().find(|overflow| overflow.rule == rule) {
            return overflow.counter.spend(rule, now);
        }
        if self.overflow.len() >= MOST_SHARED {
            let next = self.overflow.iter().map(Overflow::passes_at).min().unwrap_or(now);
            let wait = Duration::from_nanos(next.saturating_sub(now));
            return Spent { remaining: 0, reset_after: wait, retry_after: Some(wait) };
        }
        let mut counter = C::NEW;
        let spent = counter.spend(rule, now);
        self.overflow.push(Overflow { rule, counter });
        spent
    }

    fn drop_passed_overflow(&mut self, now: u64) {
        self.overflow.retain(|overflow| overflow.passes_at() > now);
    }

    /// Looks at keys that are due, at most so many: drops those that have passed and puts the
    /// others off.
    pub(super) fn drop_passed(&mut self, looks: usize, now: u64) {
        for _ in 0..looks {
            let Some(mut first) = self.due.peek_mut().filter(|first| first.0.at <= now) else {
                return;
            };
            let Due { id, span, .. } = first.0;
            let passes_at = self.counters.get(&id).map_or(0, |counter| counter.passes_at(span));
            if passes_at <= now {
                PeekMut::pop(first);
                self.counters.remove(&id);
            } else {
                first.0.at = passes_at;
            }
        }
    }

    /// The bytes of the tables and of all counters, the places included that are free.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        // The standard table fills seven eighths of a power of two, with a byte for each place.
        let places = match self.counters.capacity() {
            0 => 0,
            capacity => (capacity * 8 / 7).next_power_of_two(),
        };
        let overflow = self.overflow.iter().map(|overflow| &overflow.counter);
        places * (size_of::<(CounterId, C)>() + 1)
            + self.due.capacity() * size_of::<Due<C::Span>>()
            + self.overflow.capacity() * size_of::<Overflow<C>>()
            + self.counters.values().chain(overflow).map(C::heap_bytes).sum::<usize>()
    }
}
