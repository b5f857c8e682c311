//! Benchmarks, in `benches/`. Each measures a baseline in the same run, since figures of different
//! runs or machines are not comparable.
//!
//! This library is empty. See `README.md` for how to run the benchmarks, and their results.
