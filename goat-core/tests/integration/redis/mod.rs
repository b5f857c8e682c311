//! Redis as a store: one server, a cluster, and sentinels, with and without faults.

mod batches;
mod cached_rejections;
mod clocks;
mod cluster;
mod conformance;
mod connect;
mod failover;
mod faults;
mod limits;
mod support;
