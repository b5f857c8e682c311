//! What a first start makes, so that goat runs before anything was configured: the data directory,
//! the secrets in it, and the first administrator.
//!
//! Invariants: nothing that is there is ever overwritten; a secret is on the disk before anything
//! depends on it; any number of starts at once end up with the same secrets and one administrator.

mod administrator;
mod data_dir;

pub use administrator::{Administrator, first_administrator};
pub use data_dir::{DataDir, Kept, KeptFile};

use goat_core::Secret;

/// Bytes from the operating system's generator.
pub(crate) fn random_bytes(count: usize) -> Secret<Vec<u8>> {
    let mut bytes = vec![0; count];
    #[expect(clippy::expect_used, reason = "without randomness nothing here may go on")]
    getrandom::fill(&mut bytes).expect("the operating system has no randomness to give");
    Secret::new(bytes)
}
