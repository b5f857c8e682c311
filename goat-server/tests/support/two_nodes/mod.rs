//! Two nodes of one system, and operations on a user that both of them know.

mod fixture;
mod operation;
mod pair;

pub(crate) use fixture::{Fixture, NEW_PASSWORD};
pub(crate) use operation::{Operation, verify};
pub(crate) use pair::NodePair;

/// Whether a message to a backend is a heartbeat of the invalidation channel, which belongs to no
/// request.
pub(crate) fn is_heartbeat(message: &[u8]) -> bool {
    // `1 <sixteen digits> h <number>`
    message.windows(22).any(|text| text.starts_with(b"1 ") && &text[18..21] == b" h ")
}
