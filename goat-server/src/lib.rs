//! Under construction.

pub mod cli;
pub mod settings;
