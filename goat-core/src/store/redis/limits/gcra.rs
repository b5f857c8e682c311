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

/// Returns the name of the algorithm and the arguments of its function.
pub(super) fn arguments(gcra: Gcra) -> [String; 6] {
    let split = |owed: u128| {
        let parts = u128::from(parts(gcra));
        [(owed / parts).to_string(), (owed % parts).to_string()]
    };
    let ([cost, cost_parts], [tolerance, tolerance_parts]) =
        (split(gcra.cost().into()), split(gcra.tolerance()));
    let parts = parts(gcra).to_string();
    ["gcra".to_owned(), parts, cost, cost_parts, tolerance, tolerance_parts]
}

pub(super) fn read(gcra: Gcra, [owed, owed_parts, is_limited]: [i64; 3]) -> Option<StoreDecision> {
    let (owed, owed_parts) = (u64::try_from(owed).ok()?, u64::try_from(owed_parts).ok()?);
    let owed = u128::from(owed) * u128::from(parts(gcra)) + u128::from(owed_parts);
    let StoreDecision { remaining, reset_after, .. } = gcra.decision(owed, is_limited == 1);
    // The resolution of the server's clock.
    let microseconds = reset_after.as_nanos().div_ceil(u128::from(MICROSECOND));
    let reset_after = Duration::from_micros(u64::try_from(microseconds).ok()?);
    Some(StoreDecision {
        remaining,
        reset_after,
        retry_after: (is_limited == 1).then_some(reset_after),
    })
}
