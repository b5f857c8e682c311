//! Under construction.

pub mod cli;
pub mod extract;
pub mod http;
pub mod metrics;
pub mod openapi;
pub mod present;
pub mod router;
mod routes;
pub mod serve;
pub mod settings;
pub mod state;
