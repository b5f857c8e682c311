//! Applications that embed goat, one program per file or folder in `src/bin`. This library only
//! compiles the Rust code of the README and of guides as documentation tests.

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}

#[cfg(doctest)]
#[doc = include_str!("../../goat-server/guide/mounting.md")]
mod mounting {}
