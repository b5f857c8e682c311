//! Applications that embed goat, one program per file or folder in `src/bin`. This library only
//! compiles the README's Rust code as documentation tests.

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}
