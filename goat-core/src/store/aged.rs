//! A cached value with its age.

use std::time::Duration;

/// A value that may come from a cache, with its age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aged<T> {
    /// The value.
    pub value: T,
    /// Upper bound of the time since the read of the value began; zero for a read made by this call.
    pub age: Duration,
}

impl<T> Aged<T> {
    /// A value that this call read from the store.
    pub const fn now(value: T) -> Self {
        Self { value, age: Duration::ZERO }
    }
}
