//! Behaviours of a whole goat, at its edge: the same on every store.

mod hashes;
mod log;
mod login;
mod mixes;
mod own;
mod races;
mod records;
mod rights;
mod rotation;
mod rules;
mod support;
