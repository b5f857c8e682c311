//! What is PostgreSQL's own: its clock, its locks, its failures, its plans, and the pooler in front.
//! What every store has to keep is in the conformance suites.

#![cfg(feature = "postgres")]

mod clock;
mod dropped;
mod failures;
mod migrations;
mod plans;
mod pooler;
mod stranded;
mod support;
mod tls;
