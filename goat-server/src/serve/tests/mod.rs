//! The server over in-memory pipes with paused time, and over real sockets where their behaviour
//! matters.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod addresses;
mod bounds;
mod harness;
mod http2;
mod shutdown;
mod sockets;
mod timeouts;
