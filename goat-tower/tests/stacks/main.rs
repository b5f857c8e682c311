//! The layers in the stacks that services are made of: hyper's own server over TCP in both versions
//! of HTTP, axum, and tower's layers that reserve what they hand out. Nothing here names a type of
//! goat in a signature where an application would not.

#![expect(clippy::unwrap_used, reason = "in tests, what fails should fail")]

#[cfg(feature = "axum")]
mod axum;
mod bodies;
mod each;
#[cfg(feature = "axum")]
mod embedder;
mod errors;
mod hyper;
#[cfg(feature = "axum")]
mod paths;
mod tower;
mod wire;
