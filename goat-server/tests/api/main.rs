//! The tests of the API a second time, on PostgreSQL and Redis: not a line of them knows.
//!
//! `common` gives every test of this binary a database and a prefix of its own, under the clock of
//! the test. What a test brings along itself, to break or to hold it, stays what it is.

#![expect(clippy::duplicate_mod, reason = "each file brings what is common to all of them")]

mod complete;

#[path = "../common/mod.rs"]
mod common;

#[path = "../answers_in_order.rs"]
mod answers_in_order;
#[path = "../auth.rs"]
mod auth;
#[path = "../client_address.rs"]
mod client_address;
#[path = "../codes.rs"]
mod codes;
#[path = "../conventions.rs"]
mod conventions;
#[path = "../cors.rs"]
mod cors;
#[path = "../every_answer.rs"]
mod every_answer;
#[path = "../guesses.rs"]
mod guesses;
#[path = "../limits.rs"]
mod limits;
#[path = "../openapi.rs"]
mod openapi;
#[path = "../permissions.rs"]
mod permissions;
#[path = "../probes.rs"]
mod probes;
#[path = "../races.rs"]
mod races;
#[path = "../resources.rs"]
mod resources;
#[path = "../rotation.rs"]
mod rotation;
#[path = "../round_trips.rs"]
mod round_trips;
#[path = "../rules.rs"]
mod rules;
#[path = "../sentences.rs"]
mod sentences;
#[path = "../sessions.rs"]
mod sessions;
#[path = "../shapes.rs"]
mod shapes;
#[path = "../tokens.rs"]
mod tokens;
#[path = "../user_list.rs"]
mod user_list;
