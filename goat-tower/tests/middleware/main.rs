//! goat's middleware: each layer alone, composed with others, against the layer contract that all
//! of them keep, and on real servers (`stacks`).

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod authenticate;
mod authenticate_with_limits;
mod composition;
mod contract;
mod cookie;
#[cfg(feature = "axum")]
mod cookie_routes;
#[cfg(feature = "axum")]
mod extractors;
mod keys;
mod layer_order;
mod limit;
mod offline;
mod problem;
mod renewal;
mod require;
mod return_to;
mod stacks;
mod support;
mod testing;
