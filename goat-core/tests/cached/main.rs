//! The second level: what nodes remember together is never older than it may be, and never in the
//! way. On a shelf in memory by a clock that the test moves, and on real engines.

#![cfg(feature = "testing")]

mod cold;
mod conform;
#[cfg(feature = "sqlite")]
mod elsewhere;
#[cfg(feature = "redis")]
mod engines;
mod outages;
mod races;
mod remembering;
mod shelf;
mod support;
mod writes;
