//! GCRA in Redis: limits with a burst, one short string per key.
//!
//! Invariant: the script only adds and compares integers that a double represents exactly; every
//! division and rounding happens here.

use std::sync::LazyLock;
use std::time::Duration;

use redis::Value;

use super::super::client::Script;
use crate::limit::{Gcra, StoreDecision};

pub(super) static SPEND: LazyLock<Script> = LazyLock::new(|| {
    Script::new([include_str!("../clock.lua"), include_str!("gcra.lua")].concat())
});

/// Nanoseconds per microsecond, the unit of the server's clock.
const MICROSECOND: u64 = 1_000;

/// Parts per microsecond: at most 42 bits.
fn parts(pace: Gcra) -> u64 {
    u64::from(pace.parts()) * MICROSECOND
}

pub(super) fn arguments(pace: Gcra, time: String, spare: Duration) -> Vec<String> {
    let split = |owed: u128| {
        let parts = u128::from(parts(pace));
        [(owed / parts).to_string(), (owed % parts).to_string()]
    };
    let ([cost, cost_parts], [most, most_parts]) =
        (split(pace.cost().into()), split(pace.tolerance()));
    let spare = spare.as_millis().to_string();
    vec![time, parts(pace).to_string(), cost, cost_parts, most, most_parts, spare]
}

pub(super) fn read(pace: Gcra, answer: &Value) -> Option<StoreDecision> {
    let Value::Array(fields) = answer else { return None };
    let &[Value::Int(owed), Value::Int(owed_parts), Value::Int(refuses)] = fields.as_slice() else {
        return None;
    };
    let (owed, owed_parts) = (u64::try_from(owed).ok()?, u64::try_from(owed_parts).ok()?);
    let owed = u128::from(owed) * u128::from(parts(pace)) + u128::from(owed_parts);
    let StoreDecision { remaining, reset_after, .. } = pace.decision(owed, refuses == 1);
    // The resolution of the server's clock.
    let microseconds = reset_after.as_nanos().div_ceil(u128::from(MICROSECOND));
    let reset_after = Duration::from_micros(u64::try_from(microseconds).ok()?);
    Some(StoreDecision {
        remaining,
        reset_after,
        retry_after: (refuses == 1).then_some(reset_after),
    })
}
