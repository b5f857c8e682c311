//! Storage in the memory of this process.

mod limits;

pub use limits::MemoryLimits;
