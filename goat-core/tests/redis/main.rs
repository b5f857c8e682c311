//! Redis as a store: one server, a cluster, what sentinels watch; whole, and as it breaks.

#![cfg(feature = "redis")]

mod breaks;
mod bursts;
mod clocks;
mod cluster;
mod conformance;
mod failover;
mod limits;
mod reach;
mod refusals;
mod support;
