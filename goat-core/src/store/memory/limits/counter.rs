//! Counter of one key: the interface that the sliding-window log and GCRA share, and its time unit.

use std::time::Duration;

use crate::limit::StoreDecision;

/// The last distinguishable instant, five hundred years ahead: adding two of the longest windows does
/// not overflow.
const MAX_INSTANT: u64 = u64::MAX - 2 * 366 * 86_400 * 1_000_000_000;

/// A window longer than this is long: its counters stay for so long that a flood of keys must not fill a
/// shard with them.
const LONG: u64 = 3_600 * 1_000_000_000;

/// Whether a window in nanoseconds is long.
pub(super) fn is_long(window: u64) -> bool {
    window > LONG
}

/// Converts a reading of the monotonic clock to nanoseconds.
pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(MAX_INSTANT).min(MAX_INSTANT)
}

/// Counts the calls of one key, or of several keys that share it. Instants are in nanoseconds.
pub(super) trait Counter: Clone {
    /// The quota in the units of the counter.
    type Rule: Copy + PartialEq;
    /// The part of the rule that determines when the counter expires.
    type Span: Copy + Ord;

    /// Whether counters of this span share a part of the capacity only.
    fn is_long(span: Self::Span) -> bool;

    /// A counter without calls.
    const NEW: Self;

    /// Returns that part of the rule.
    fn span(rule: Self::Rule) -> Self::Span;

    /// Acquires one at `now`, which is not before any earlier instant, if the rule allows it.
    fn acquire(&mut self, rule: Self::Rule, now: u64) -> StoreDecision;

    /// Returns the decision for a call at `now` without counting it; `remaining` includes the call.
    fn peek(&mut self, rule: Self::Rule, now: u64) -> StoreDecision;

    /// Returns a copy to continue from, or the decision to limit if nothing is left.
    fn fork(&mut self, rule: Self::Rule, now: u64) -> Result<Self, StoreDecision>;

    /// Returns the instant from which the counter equals a new one.
    fn expires_at(&self, span: Self::Span) -> u64;

    /// Returns the size of its heap allocations.
    #[cfg(test)]
    fn heap_bytes(&self) -> usize {
        0
    }
}
