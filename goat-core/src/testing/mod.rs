//! For tests: a clock that the test moves, and the conformance suite of every port.
//!
//! Feature `testing`. It adds and never weakens: nothing in production code trusts what is made
//! here.

mod clock;
mod fixture;
mod hasher;
pub mod limits;
mod pauses;
pub mod roles;
pub(crate) mod sample;
pub mod sessions;
mod sign_in;
mod time;
pub mod users;

pub use clock::ManualClock;
pub use fixture::TestGoat;
pub use hasher::{HasherCall, PlainHasher};
pub use pauses::{Held, Pauses, Point};
pub use sign_in::{TestUser, Testing};
pub use time::{TestTime, WaitingTime};
