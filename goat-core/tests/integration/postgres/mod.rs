//! PostgreSQL only: its clock, locks, failures and plans, and a pooler. The conformance suites
//! cover the guarantees of all stores.

mod clock;
pub(crate) mod defaults;
mod dropped;
mod failures;
mod migrations;
mod plans;
pub(crate) mod pooler;
mod reconnects;
mod stranded;
pub(crate) mod support;
mod tls;
