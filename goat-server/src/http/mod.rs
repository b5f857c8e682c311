//! What surrounds every request, whatever its route: its id, the look of failures, and the headers
//! that every answer carries.
//!
//! The order in which these stand is one function, [`router`](crate::router::router).

mod api_error;
mod cors;
mod envelope;
pub(crate) mod problems;
mod request_id;
mod security_headers;

pub(crate) use api_error::ApiError;
pub(crate) use cors::Cors;
pub(crate) use envelope::{Envelope, envelope};
pub(crate) use request_id::RequestIdLayer;
