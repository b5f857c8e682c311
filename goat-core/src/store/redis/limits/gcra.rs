//! GCRA in Redis: limits with a burst, one short string per key.
//!
//! Invariant: the script only adds and compares integers that a double represents exactly; every
//! division and rounding happens here.

use std::sync::LazyLock;
use std::time::Duration;

use redis::Value;

use super::super::client::Script;
use crate::limit::{Gcra, StoreDecision};

pub(super) static SCRIPT: LazyLock<Script> = LazyLock::new(|| {
    Script::new([include_str!("../clock.lua"), include_str!("gcra.lua")].concat())
});

/// Nanoseconds per microsecond, the unit of the server's clock.
const MICROSECOND: u64 = 1_000;

/// Parts per microsecond: at tolerance 42 bits.
fn parts(gcra: Gcra) -> u64 {
    u64::from(gcra.parts()) * MICROSECOND
}

pub(super) fn arguments(gcra: Gcra, time: String, margin: Duration) -> Vec<String> {
    let split = |owed: u128| {
        let parts = u128::from(parts(gcra));
        [(owed / parts).to_string(), (owed % parts).to_string()]
    };
    let ([cost, cost_parts], [tolerance, tolerance_parts]) =
        (split(gcra.cost().into()), split(gcra.tolerance()));
    let margin = margin.as_millis().to_string();
    vec![time, parts(gcra).to_string(), cost, cost_parts, tolerance, tolerance_parts, margin]
}

pub(super) fn read(gcra: Gcra, reply: &Value) -> Option<StoreDecision> {
    let Value::Array(fields) = reply else { return None };
    let &[Value::Int(owed), Value::Int(owed_parts), Value::Int(is_limited)] = fields.as_slice()
    else {
        return None;
    };
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
