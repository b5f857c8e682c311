//! PostgreSQL only: its clock, locks, failures and plans, and a pooler. The conformance suites
//! cover the guarantees of all stores.

mod clock;
mod defaults;
mod dropped;
mod failures;
mod migrations;
mod plans;
mod pooler;
mod reconnects;
mod stranded;
mod support;
mod tls;
