//! The server over pipes in memory, in a time that passes by itself when all wait; and over real
//! sockets where the socket is the point.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bounds;
mod harness;
mod http2;
mod shutdown;
mod sockets;
mod timeouts;
