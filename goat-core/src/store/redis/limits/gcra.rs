//! GCRA in Redis: limits with a burst, one short string per key.
//!
//! Invariant: the script only adds and compares integers that a double represents exactly; every
//! division and rounding happens here.

use std::time::Duration;

use crate::limit::{Gcra, StoreDecision};

/// Nanoseconds per microsecond, the unit of the server's clock.
const MICROSECOND: u64 = 1_000;

/// Parts per microsecond: at tolerance 42 bits.
fn parts(gcra: Gcra) -> u64 {
    u64::from(gcra.parts()) * MICROSECOND
}

/// Parts per microsecond, the cost and its parts, the tolerance and its parts.
pub(super) fn arguments(gcra: Gcra) -> [String; 5] {
    let split = |owed: u128| {
        let parts = u128::from(parts(gcra));
        [(owed / parts).to_string(), (owed % parts).to_string()]
    };
    let ([cost, cost_parts], [tolerance, tolerance_parts]) =
        (split(gcra.cost().into()), split(gcra.tolerance()));
    [parts(gcra).to_string(), cost, cost_parts, tolerance, tolerance_parts]
}

/// Reads a debt, which is `-1 - owed` if a call is limited, and its parts.
pub(super) fn read(gcra: Gcra, owed: i64, owed_parts: i64) -> Option<StoreDecision> {
    let (is_limited, owed) = if owed < 0 { (true, -1 - owed) } else { (false, owed) };
    let (owed, owed_parts) = (u64::try_from(owed).ok()?, u64::try_from(owed_parts).ok()?);
    let owed = u128::from(owed) * u128::from(parts(gcra)) + u128::from(owed_parts);
    let StoreDecision { remaining, reset_after, .. } = gcra.decision(owed, is_limited);
    // The resolution of the server's clock.
    let microseconds = reset_after.as_nanos().div_ceil(u128::from(MICROSECOND));
    let reset_after = Duration::from_micros(u64::try_from(microseconds).ok()?);
    Some(StoreDecision { remaining, reset_after, retry_after: is_limited.then_some(reset_after) })
}
