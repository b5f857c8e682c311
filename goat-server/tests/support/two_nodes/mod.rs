//! Two nodes of one system, somebody whom they both know, and what can be done to them.

mod fixture;
mod operation;
mod pair;

pub(crate) use fixture::{NEW_PASSWORD, Scene};
pub(crate) use operation::{Act, verify};
pub(crate) use pair::{LONG, Pair};

/// Whether what goes to an engine is a node asking whether it hears itself, which it does all the
/// time and of its own accord: no part of any request.
pub(crate) fn is_heartbeat(message: &[u8]) -> bool {
    // `1 <sixteen digits> h <number>`
    message.windows(22).any(|text| text.starts_with(b"1 ") && &text[18..21] == b" h ")
}
