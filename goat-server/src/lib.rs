//! Under construction.

pub mod extract;
