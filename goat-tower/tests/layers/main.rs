//! The layers over a goat in memory: each by itself, stacked, and against the contract that all of
//! them keep.

#![expect(clippy::unwrap_used, reason = "in tests, what fails should fail")]

mod admit;
mod authenticate;
#[cfg(feature = "axum")]
mod axum;
mod contract;
mod cookie;
mod fixture;
mod limit;
#[cfg(feature = "tracing")]
mod log;
#[cfg(feature = "axum")]
mod misplaced;
mod offline;
#[cfg(feature = "axum")]
mod offline_axum;
#[cfg(feature = "tracing")]
mod offline_log;
mod order;
mod require;
mod stack;
mod stores;
mod testing;
