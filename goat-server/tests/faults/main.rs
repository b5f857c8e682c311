//! Failing dependencies: PostgreSQL and Redis under running nodes (cut connections, timeouts,
//! read-only, out of connections, killed, emptied, restored from an older state), and a store that
//! fails at any call. Acknowledged writes survive, no request passes unchecked, and the nodes recover
//! by themselves.

#[path = "../support/mod.rs"]
mod support;

mod dependency_down;
mod flows;
mod kills;
mod messages;
mod outages;
mod read_only;
mod responses;
mod states;
mod sweep;
