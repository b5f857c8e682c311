//! Storage: the bundle of ports that a goat stands on, and the backends that come with it.

pub mod cached;
pub mod memory;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub mod sql;
pub(crate) mod stores;
mod watched;

pub use crate::recent::Recent;
pub(crate) use stores::Stores;
