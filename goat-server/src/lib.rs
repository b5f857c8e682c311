//! Under construction.

pub mod bootstrap;
pub mod cli;
pub mod commands;
pub mod extract;
pub mod failure;
pub mod logging;
pub mod metrics;
pub mod openapi;
pub mod router;
pub mod serve;
pub mod settings;
pub mod state;
pub mod wiring;
