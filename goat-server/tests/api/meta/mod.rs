//! Routes about the server itself.

mod metrics;
mod openapi;
