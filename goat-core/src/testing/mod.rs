//! Test support: a manual clock, an in-memory goat, failpoints, and a conformance suite per port.
//!
//! Feature `testing`. It only adds: production code accepts nothing that is made here.

mod api_key;
pub mod challenges;
mod clock;
#[cfg(test)]
pub(crate) mod explore;
mod factors;
mod failpoints;
mod fixture;
mod forged_key;
mod hasher;
pub mod keys;
mod letters;
pub mod limits;
pub mod roles;
pub(crate) mod sample;
pub mod sessions;
mod sign_in;
pub mod stored;
mod time;
pub mod users;

pub use crate::courier::kept::Letters;
pub use api_key::TestKey;
pub use clock::ManualClock;
pub use factors::TestFactors;
pub use failpoints::{Failpoints, HeldCall, Point};
pub use fixture::TestGoat;
pub use forged_key::forged_key;
pub use hasher::{HasherCall, PlainHasher};
pub use letters::sample_letters;
pub use sign_in::{TestUser, Testing};
pub use time::TestTime;
