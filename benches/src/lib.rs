//! Parts that the benchmarks in `benches/`, `bench-http` and `bench-reference` share.
//!
//! Each benchmark measures a baseline in the same run, since figures of different runs or machines
//! are not comparable. See `README.md` for how to run them, and their results.

pub mod application;
pub mod client;
pub mod peers;
pub mod redis_fill;
pub mod summary;
