//! Shard of the limit store: a table of sliding-window logs and one of GCRA states, with one capacity.
//!
//! Invariant: both tables together never have more keys than `capacity`, and at most half as many with a
//! long span.

use crate::limit::{Gcra, Quota, StoreDecision};

use super::counter::Counter;
use super::counter_id::{CounterId, Seed};
use super::gcra_state::GcraState;
use super::sliding_window_log::{Rule, SlidingWindowLog};
use super::table::Table;

/// How many due keys of each kind a call checks for expiry. Each check finds an expired key, or one
/// that was used since the last check, so two per call keep up with any traffic.
const CHECKS: usize = 2;

/// How many a call checks in a full shard.
const CHECKS_WHEN_FULL: usize = 32;

pub(super) struct Shard {
    /// The latest instant of any caller.
    now: u64,
    capacity: usize,
    logs: Table<SlidingWindowLog>,
    gcra_states: Table<GcraState>,
    overflowed: u64,
}

/// A kind of counter, with its table in the shard.
pub(super) trait CounterKind: Counter {
    fn table(shard: &mut Shard) -> &mut Table<Self>;
}

impl CounterKind for SlidingWindowLog {
    fn table(shard: &mut Shard) -> &mut Table<Self> {
        &mut shard.logs
    }
}

impl CounterKind for GcraState {
    fn table(shard: &mut Shard) -> &mut Table<Self> {
        &mut shard.gcra_states
    }
}

impl Shard {
    pub(super) fn new(capacity: usize, seed: Seed) -> Self {
        let (logs, gcra_states) = (Table::new(seed), Table::new(seed));
        Self { now: 0, capacity, logs, gcra_states, overflowed: 0 }
    }

    pub(super) fn keys(&self) -> usize {
        self.logs.keys() + self.gcra_states.keys()
    }

    pub(super) fn overflowed(&self) -> u64 {
        self.overflowed
    }

    pub(super) fn acquire(&mut self, id: CounterId, quota: Quota, now: u64) -> StoreDecision {
        match Gcra::of(quota) {
            None => self.acquire_counter::<SlidingWindowLog>(id, Rule::from(quota), now),
            Some(gcra) => self.acquire_counter::<GcraState>(id, gcra, now),
        }
    }

    /// Returns the decision for a call without counting it.
    pub(super) fn peek(&mut self, id: CounterId, quota: Quota, now: u64) -> StoreDecision {
        self.now = self.now.max(now);
        match Gcra::of(quota) {
            None => self.logs.peek(id, Rule::from(quota), self.now),
            Some(gcra) => self.gcra_states.peek(id, gcra, self.now),
        }
    }

    pub(super) fn reset(&mut self, id: CounterId, quota: Quota) {
        match Gcra::of(quota) {
            None => self.logs.reset(id),
            Some(_) => self.gcra_states.reset(id),
        }
    }

    fn acquire_counter<C: CounterKind>(
        &mut self,
        id: CounterId,
        rule: C::Rule,
        now: u64,
    ) -> StoreDecision {
        // Two threads may arrive in another order than they read the clock; time never goes backwards
        // for a counter.
        self.now = self.now.max(now);
        let now = self.now;
        // Before expired keys are dropped: a key with a counter of its own, even an expired one, has no
        // calls in the overflow counter.
        if let Some(decision) = C::table(self).acquire_own(id, rule, now) {
            self.drop_expired(CHECKS);
            return decision;
        }
        let is_full = self.is_full::<C>(rule);
        self.drop_expired(if is_full { CHECKS_WHEN_FULL } else { CHECKS });
        if self.is_full::<C>(rule) {
            self.overflowed = self.overflowed.saturating_add(1);
            C::table(self).acquire_shared(rule, now)
        } else {
            C::table(self).acquire_first(id, rule, now)
        }
    }

    /// Whether a counter has no room. Counters with a long span have half of it, so that a flood of them
    /// leaves room for the others.
    fn is_full<C: CounterKind>(&mut self, rule: C::Rule) -> bool {
        let half = self.capacity.div_ceil(2);
        self.keys() >= self.capacity || C::is_long(C::span(rule)) && C::table(self).long() >= half
    }

    fn drop_expired(&mut self, checks: usize) {
        self.logs.drop_expired(checks, self.now);
        self.gcra_states.drop_expired(checks, self.now);
    }

    /// Returns the size of both tables.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.logs.bytes() + self.gcra_states.bytes()
    }
}
