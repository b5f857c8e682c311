//! Forged API keys, for tests of a wrong secret.

use crate::key::{KeyPrefix, PresentedKey};
use crate::secret::Secret;

/// Returns the text of an API key with the id of one key and the secret of another: well formed, and of the
/// default prefix.
///
/// # Panics
///
/// If one of the two is no such key.
#[must_use]
pub fn forged_key(id_of: &Secret<String>, secret_of: &Secret<String>) -> Secret<String> {
    let prefix = KeyPrefix::default();
    let parse = |text: &Secret<String>| {
        PresentedKey::parse(&prefix, text.expose()).expect("a key of the default prefix")
    };
    parse(id_of).with_secret_of(&parse(secret_of)).text(&prefix)
}
