//! The whole of goat behind one URL: users, sessions, roles and limits as an HTTP API.

pub mod bootstrap;
pub mod cli;
pub mod commands;
pub mod extract;
pub mod failure;
mod http;
pub mod logging;
pub mod metrics;
pub mod openapi;
pub mod present;
pub mod router;
mod routes;
pub mod serve;
pub mod settings;
pub mod state;
pub mod wiring;
