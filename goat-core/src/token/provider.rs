//! The cryptography provider of jsonwebtoken, which is process-wide.
//!
//! Invariant: a working provider is installed before any key is built. jsonwebtoken panics at first
//! use if it cannot select one itself, which depends on the features that other dependencies
//! enable. So goat installs one, and a lack of one is an error at startup.

use jsonwebtoken::crypto::CryptoProvider;

use crate::error::{Error, Result};

/// Installs a provider if there is none: aws-lc-rs, else RustCrypto. A provider that the
/// application installed is kept.
///
/// Without either of goat's features nothing is installed; then the application has installed one,
/// or has enabled one of jsonwebtoken's features, or [`attempt`] reports the lack of one.
pub(super) fn install() {
    #[cfg(feature = "aws-lc-rs")]
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    #[cfg(all(feature = "rust-crypto", not(feature = "aws-lc-rs")))]
    let _ = jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER.install_default();
}

/// Runs the first operation on a key, where a failure is a configuration error.
pub(super) fn attempt<T>(work: impl FnOnce() -> jsonwebtoken::errors::Result<T>) -> Result<T> {
    if CryptoProvider::try_get_default().is_none() {
        return Err(Error::configuration(
            "jsonwebtoken has no cryptography provider for tokens: enable goat-core's feature \
             `aws-lc-rs` or `rust-crypto`, or install a provider before goat is built",
        ));
    }
    work().map_err(|_| Error::configuration("the token key is not one that can be used"))
}
