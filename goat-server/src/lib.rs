//! Under construction.

pub mod cli;
pub mod extract;
pub mod serve;
pub mod settings;
