//! Behaviours of a whole goat, at its edge: the same on every store.

mod rotation;
mod support;
