//! What a store remembers, and how old it is.

use std::time::Duration;

/// A value that was true a while ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aged<T> {
    /// What was read.
    pub value: T,
    /// How long ago its read began, or longer; zero where it was read for this answer.
    pub age: Duration,
}

impl<T> Aged<T> {
    /// What was read for this answer.
    pub const fn now(value: T) -> Self {
        Self { value, age: Duration::ZERO }
    }
}
