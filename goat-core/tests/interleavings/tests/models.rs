//! Every interleaving of the scenarios, with at most three switches of a thread that could go on: more
//! find no further fault of this kind and take hours.

use interleavings::{cache, flights};

fn check(scenario: fn()) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(scenario);
}

/// R4, A7: a slow read never overwrites an eviction.
#[test]
fn fill_does_not_overwrite_the_eviction_of_a_user() {
    check(cache::fills_against_the_eviction_of_a_user);
}

/// R4, A7
#[test]
fn fill_does_not_overwrite_the_eviction_of_a_session() {
    check(cache::fills_against_the_eviction_of_a_session);
}

/// R4, A7
#[test]
fn fill_does_not_overwrite_the_eviction_of_principals() {
    check(cache::fills_against_the_eviction_of_principals);
}

/// R4, A7
#[test]
fn fill_does_not_overwrite_the_eviction_of_everything() {
    check(cache::a_fill_against_the_eviction_of_everything);
}

/// A7: a lookup that sees the renewed lease sees the cleared cache.
#[test]
fn lookup_returns_no_entry_from_before_a_lost_channel() {
    check(cache::lookups_against_a_renewed_lease);
}

/// A7
#[test]
fn fill_from_before_a_lost_channel_is_not_used() {
    check(cache::a_fill_against_a_renewed_lease);
}

/// R4: a call shares only a read that began after it.
#[test]
fn call_after_a_write_returns_the_value_written() {
    check(flights::a_call_after_a_write_returns_the_value_written);
}

#[test]
fn callers_read_at_most_once_each() {
    check(flights::three_callers_share_reads);
}
