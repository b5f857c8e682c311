//! Counter table: the counters of one kind in a shard, a queue of their expiry, and overflow counters.
//!
//! Invariants: `due` has every key once, at an instant not after the expiry of its counter; there are
//! never more overflow counters than [`MAX_OVERFLOW`].

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use crate::limit::StoreDecision;

use super::counter::Counter;
use super::counter_id::{CounterId, Seed};

/// The most overflow counters, one per quota. Calls of further quotas are limited until one expires.
const MAX_OVERFLOW: usize = 16;

/// A key to check for expiry at an instant. Ordered by that instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due<S> {
    at: u64,
    span: S,
    id: CounterId,
}

/// A counter that all keys of one quota share which arrived while the shard was full.
struct Overflow<C: Counter> {
    rule: C::Rule,
    counter: C,
}

impl<C: Counter> Overflow<C> {
    fn expires_at(&self) -> u64 {
        self.counter.expires_at(C::span(self.rule))
    }
}

pub(super) struct Table<C: Counter> {
    counters: HashMap<CounterId, C, Seed>,
    due: BinaryHeap<Reverse<Due<C::Span>>>,
    overflow: Vec<Overflow<C>>,
    /// How many counters have a long span.
    long: usize,
}

impl<C: Counter> Table<C> {
    pub(super) fn new(seed: Seed) -> Self {
        let (counters, due) = (HashMap::with_hasher(seed), BinaryHeap::new());
        Self { counters, due, overflow: Vec::new(), long: 0 }
    }

    /// Returns the number of counters with a long span.
    pub(super) fn long(&self) -> usize {
        self.long
    }

    pub(super) fn keys(&self) -> usize {
        self.counters.len()
    }

    /// Acquires from the key's own counter, if it has one.
    pub(super) fn acquire_own(
        &mut self,
        id: CounterId,
        rule: C::Rule,
        now: u64,
    ) -> Option<StoreDecision> {
        Some(self.counters.get_mut(&id)?.acquire(rule, now))
    }

    /// Returns the decision for a call of a key without counting it: by its own counter, or by the
    /// one that it would start from or share.
    pub(super) fn peek(&mut self, id: CounterId, rule: C::Rule, now: u64) -> StoreDecision {
        if let Some(counter) = self.counters.get_mut(&id) {
            return counter.peek(rule, now);
        }
        match self.overflow.iter_mut().find(|overflow| overflow.rule == rule) {
            Some(overflow) => overflow.counter.peek(rule, now),
            None => {
                let mut unused = C::NEW;
                unused.peek(rule, now)
            }
        }
    }

    /// Forgets the calls of a key's own counter. The counter stays until it is due, so that `due` has
    /// the key once.
    pub(super) fn reset(&mut self, id: CounterId) {
        if let Some(counter) = self.counters.get_mut(&id) {
            *counter = C::NEW;
        }
    }

    /// Creates a counter for a key; calls in the overflow counter may have been this key's.
    pub(super) fn acquire_first(
        &mut self,
        id: CounterId,
        rule: C::Rule,
        now: u64,
    ) -> StoreDecision {
        self.drop_expired_overflow(now);
        let mut counter = match self.overflow.iter_mut().find(|overflow| overflow.rule == rule) {
            Some(overflow) => match overflow.counter.fork(rule, now) {
                Ok(counter) => counter,
                Err(limited) => return limited,
            },
            None => C::NEW,
        };
        let decision = counter.acquire(rule, now);
        let span = C::span(rule);
        let at = counter.expires_at(span);
        self.counters.insert(id, counter);
        self.long += usize::from(C::is_long(span));
        self.due.push(Reverse(Due { at, span, id }));
        decision
    }

    /// Acquires from the overflow counter of the quota.
    pub(super) fn acquire_shared(&mut self, rule: C::Rule, now: u64) -> StoreDecision {
        self.drop_expired_overflow(now);
        if let Some(overflow) = self.overflow.iter_mut().find(|overflow| overflow.rule == rule) {
            return overflow.counter.acquire(rule, now);
        }
        if self.overflow.len() >= MAX_OVERFLOW {
            let next = self.overflow.iter().map(Overflow::expires_at).min().unwrap_or(now);
            let wait = Duration::from_nanos(next.saturating_sub(now));
            return StoreDecision { remaining: 0, reset_after: wait, retry_after: Some(wait) };
        }
        let mut counter = C::NEW;
        let decision = counter.acquire(rule, now);
        self.overflow.push(Overflow { rule, counter });
        decision
    }

    fn drop_expired_overflow(&mut self, now: u64) {
        self.overflow.retain(|overflow| overflow.expires_at() > now);
    }

    /// Checks a bounded number of due keys: drops expired ones and reschedules the others.
    pub(super) fn drop_expired(&mut self, checks: usize, now: u64) {
        for _ in 0..checks {
            let Some(mut first) = self.due.peek_mut().filter(|first| first.0.at <= now) else {
                return;
            };
            let Due { id, span, .. } = first.0;
            let expires_at = self.counters.get(&id).map_or(0, |counter| counter.expires_at(span));
            if expires_at <= now {
                PeekMut::pop(first);
                self.counters.remove(&id);
                self.long -= usize::from(C::is_long(span));
            } else {
                first.0.at = expires_at;
            }
        }
    }

    /// Returns the size of the tables and all counters, including free buckets.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        // The standard hash table fills seven eighths of a power of two, with a byte per bucket.
        let buckets = match self.counters.capacity() {
            0 => 0,
            capacity => (capacity * 8 / 7).next_power_of_two(),
        };
        let overflow = self.overflow.iter().map(|overflow| &overflow.counter);
        buckets * (size_of::<(CounterId, C)>() + 1)
            + self.due.capacity() * size_of::<Due<C::Span>>()
            + self.overflow.capacity() * size_of::<Overflow<C>>()
            + self.counters.values().chain(overflow).map(C::heap_bytes).sum::<usize>()
    }
}
