//! Routes about the server itself.

mod docs;
mod jwks;
mod metrics;
mod openapi;
mod ready;
