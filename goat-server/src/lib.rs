//! Under construction.

pub mod cli;
pub mod extract;
pub mod logging;
pub mod metrics;
pub mod serve;
pub mod settings;
