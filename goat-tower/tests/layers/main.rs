//! The layers over a goat in memory: each by itself, stacked, and against the contract that all of
//! them keep.

#![expect(clippy::unwrap_used, reason = "in tests, what fails should fail")]

mod admit;
mod authenticate;
#[cfg(feature = "axum")]
mod axum;
mod contract;
mod fixture;
mod limit;
mod offline;
#[cfg(feature = "axum")]
mod offline_axum;
mod require;
mod stack;
mod stores;
