//! Redis as a store: one server, a cluster, what sentinels watch; whole, and as it breaks.

#![cfg(feature = "redis")]

mod conformance;
mod reach;
