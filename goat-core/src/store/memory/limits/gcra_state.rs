//! GCRA state of one key: its theoretical arrival time (TAT).
//!
//! Invariants: the TAT never decreases; it is never further ahead than the whole burst takes to be
//! replenished, which is at most 366 days.

use crate::limit::{Gcra, StoreDecision};

use super::counter::Counter;

/// The theoretical arrival time: the instant until which a key owes, in nanoseconds of the monotonic
/// clock and parts of a nanosecond. 16 bytes at any rate of calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct GcraState {
    at: u64,
    /// Fewer than [`Gcra::parts`].
    parts: u32,
}

impl GcraState {
    /// Returns the debt at `now`, in parts.
    fn owed(self, gcra: Gcra, now: u64) -> u128 {
        match self.at.checked_sub(now) {
            Some(ahead) => u128::from(ahead) * u128::from(gcra.parts()) + u128::from(self.parts),
            None => 0,
        }
    }

    fn limited(self, gcra: Gcra, now: u64) -> Option<StoreDecision> {
        let owed = self.owed(gcra, now);
        (owed > gcra.tolerance()).then(|| gcra.decision(owed, true))
    }
}

impl Counter for GcraState {
    type Rule = Gcra;
    type Span = ();

    const NEW: Self = Self { at: 0, parts: 0 };

    fn span(_: Gcra) {}

    /// A burst is usually given back soon; its span does not tell.
    fn is_long((): ()) -> bool {
        false
    }

    fn acquire(&mut self, gcra: Gcra, now: u64) -> StoreDecision {
        if let Some(limited) = self.limited(gcra, now) {
            return limited;
        }
        if self.at < now {
            *self = Self { at: now, parts: 0 };
        }
        let a_nanosecond = u64::from(gcra.parts());
        let (whole, rest) = (gcra.cost() / a_nanosecond, gcra.cost() % a_nanosecond);
        let parts = u64::from(self.parts) + rest;
        let carried = u64::from(parts >= a_nanosecond);
        self.at += whole + carried;
        self.parts = (parts - carried * a_nanosecond) as u32;
        gcra.decision(self.owed(gcra, now), false)
    }

    fn peek(&mut self, gcra: Gcra, now: u64) -> StoreDecision {
        self.limited(gcra, now).unwrap_or_else(|| gcra.decision(self.owed(gcra, now), false))
    }

    fn fork(&mut self, gcra: Gcra, now: u64) -> Result<Self, StoreDecision> {
        match self.limited(gcra, now) {
            Some(limited) => Err(limited),
            None => Ok(*self),
        }
    }

    fn expires_at(&self, (): ()) -> u64 {
        self.at + u64::from(self.parts > 0)
    }
}
