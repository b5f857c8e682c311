//! Storage: the bundle of ports that a goat stands on, and the backends that come with it.

pub mod memory;
mod observed;
#[cfg(feature = "redis")]
pub mod redis;
pub mod shared_cache;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub mod sql;
pub(crate) mod stores;

pub use crate::aged::Aged;
pub(crate) use stores::Stores;
