//! Storage: implementations of the ports.

pub mod memory;
