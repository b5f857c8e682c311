//! Invalidations between nodes: delivery, what a disconnected node does, and what a node may serve
//! from its caches.

mod broadcast;
mod cached_reads;
#[cfg(all(feature = "postgres", feature = "redis"))]
mod engines;
mod nodes;
mod profiles;
mod single_flight;
mod support;
mod transport;
