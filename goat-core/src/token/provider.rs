//! The cryptography beneath jsonwebtoken: a slot of that crate, one for the whole process.
//!
//! Invariant: no key is built before the slot is known to hold a provider that works. jsonwebtoken
//! panics at first use where it cannot choose one itself, and what it cannot choose depends on the
//! features that the rest of the application's dependencies switch on; so goat fills the slot, and
//! what is left of that panic becomes an error at start-up.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, Result};

/// Fills the slot if nothing is there yet: with aws-lc-rs, else with RustCrypto. An application that
/// installed a provider of its own keeps it.
///
/// With neither of goat's features there is nothing to install; then the application has done it,
/// or has switched on one of jsonwebtoken's features, or [`attempt`] finds out.
pub(super) fn install() {
    #[cfg(feature = "aws-lc-rs")]
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    #[cfg(all(feature = "rust-crypto", not(feature = "aws-lc-rs")))]
    let _ = jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER.install_default();
}

/// Does something with a key for the first time, where failing still is a matter of configuration.
///
/// jsonwebtoken has no way to ask whether its slot is filled other than to use it. Its panic is
/// caught here; the panic hook sees it all the same, and a build with `panic = "abort"` ends.
pub(super) fn attempt<T>(work: impl FnOnce() -> jsonwebtoken::errors::Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(_)) => Err(Error::configuration("the token key is not one that can be used")),
        Err(_) => Err(Error::configuration(
            "jsonwebtoken has no cryptography provider for tokens: enable goat-core's feature \
             `aws-lc-rs` or `rust-crypto`, or install a provider before anything uses jsonwebtoken",
        )),
    }
}
