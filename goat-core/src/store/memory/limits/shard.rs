//! One part of the keys: a table of counters for each way to count, and the room that both share.
//!
//! Invariant: there are never more keys than `room`, of both kinds together.

use crate::limit::Spent;

use super::counter::Counter;
use super::counter_id::{CounterId, Seed};
use super::gcra_state::GcraState;
use super::sliding_window_log::SlidingWindowLog;
use super::table::Table;

/// How many due keys of each kind a call looks at. Each look finds a key that has passed, or one
/// that was admitted since the last look; so two a call keep up with any traffic.
const LOOKS: usize = 2;

/// How many a call looks at that would otherwise find no room.
const LOOKS_FOR_ROOM: usize = 32;

pub(super) struct Shard {
    /// The latest instant that any caller brought.
    now: u64,
    room: usize,
    logs: Table<SlidingWindowLog>,
    gcra_states: Table<GcraState>,
    overflowed: u64,
}

/// A counter that a shard has a table of.
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
    pub(super) fn new(room: usize, seed: Seed) -> Self {
        let (logs, gcra_states) = (Table::new(seed), Table::new(seed));
        Self { now: 0, room, logs, gcra_states, overflowed: 0 }
    }

    pub(super) fn keys(&self) -> usize {
        self.logs.keys() + self.gcra_states.keys()
    }

    pub(super) fn overflowed(&self) -> u64 {
        self.overflowed
    }

    pub(super) fn spend<C: CounterKind>(
        &mut self,
        id: CounterId,
        rule: C::Rule,
        now: u64,
    ) -> Spent {
        // Two threads may arrive in another order than they read the clock; counters never see time
        // run back.
        self.now = self.now.max(now);
        let now = self.now;
        // Before anything is dropped: a counter of its own, even one that has passed, says that
        // nothing in the overflow is this key's.
        if let Some(spent) = C::table(self).spend_own(id, rule, now) {
            self.drop_passed(LOOKS);
            return spent;
        }
        let is_full = self.keys() >= self.room;
        self.drop_passed(if is_full { LOOKS_FOR_ROOM } else { LOOKS });
        if self.keys() >= self.room {
            self.overflowed = self.overflowed.saturating_add(1);
            C::table(self).spend_shared(rule, now)
        } else {
            C::table(self).spend_first(id, rule, now)
        }
    }

    fn drop_passed(&mut self, looks: usize) {
        self.logs.drop_passed(looks, self.now);
        self.gcra_states.drop_passed(looks, self.now);
    }

    /// The bytes of both tables.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.logs.bytes() + self.gcra_states.bytes()
    }
}
