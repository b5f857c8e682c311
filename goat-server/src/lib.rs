//! Under construction.

pub mod extract;
pub mod cli;
pub mod settings;
pub mod serve;
