//! Under construction.

pub mod serve;
