//! The goat-server program.
fn main() {}
