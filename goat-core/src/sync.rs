//! Locks, atomics and shared pointers of the caches, in one place: the interleavings test compiles the
//! same files with the types of a model checker.

pub(crate) use std::sync::{Arc, Mutex, MutexGuard, PoisonError, atomic};
