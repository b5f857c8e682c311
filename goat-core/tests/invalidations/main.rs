//! Invalidations from node to node: what is heard, what becomes of a node that does not hear, and what
//! the cache that depends on it may answer.

#[cfg(all(feature = "postgres", feature = "redis"))]
mod engines;
mod flights;
mod hearing;
mod nodes;
mod remembering;
mod support;
mod wire;
