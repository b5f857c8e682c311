//! What counts the calls of one key, whichever way; and the stopwatch that it goes by.

use std::time::Duration;

use crate::limit::Spent;

/// The last instant that is told from those after it, five hundred years of stopwatch away: two
/// longest windows later there still is a number.
const LAST: u64 = u64::MAX - 2 * 366 * 86_400 * 1_000_000_000;

/// A reading of the stopwatch in nanoseconds.
pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(LAST).min(LAST)
}

/// Counts the calls of one key, or of several that share it. Instants are in nanoseconds.
pub(super) trait Counter: Clone {
    /// What it counts by.
    type Rule: Copy + PartialEq;
    /// As much of the rule as must be known to tell when the counter has passed.
    type Span: Copy + Ord;

    /// What has counted nothing.
    const NEW: Self;

    /// That part of the rule.
    fn span(rule: Self::Rule) -> Self::Span;

    /// Spends one at `now`, which is no earlier than any instant before, if the rule allows it.
    fn spend(&mut self, rule: Self::Rule, now: u64) -> Spent;

    /// A copy to go on from, or the refusal if nothing is left.
    fn fork(&mut self, rule: Self::Rule, now: u64) -> Result<Self, Spent>;

    /// From when on it is no different from a new one.
    fn passes_at(&self, span: Self::Span) -> u64;

    /// The bytes that it keeps outside of itself.
    #[cfg(test)]
    fn heap_bytes(&self) -> usize {
        0
    }
}
