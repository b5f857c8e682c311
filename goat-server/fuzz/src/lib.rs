//! Fuzz targets: functions that parse hostile bytes and panic where a guarantee does not hold.
//!
//! `cargo fuzz` runs them on generated input, and goat-server's tests on the seeds and on changes of
//! them.

pub mod requests;
#[cfg(feature = "server")]
pub mod server;
