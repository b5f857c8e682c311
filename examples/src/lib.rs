//! Applications that embed goat, each a program of its own in `src/bin`. This library is only where
//! the front door's Rust code is compiled.

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}
