//! Behaviours of a whole goat, at its edge: the same on every store.

mod login;
mod races;
mod rotation;
mod support;
