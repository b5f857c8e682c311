//! What an application and the flows ask for: sign a token, verify a token, show the public keys.

use std::fmt;
use std::sync::Arc;

use super::checks::Checks;
use super::claims::{AccessClaims, RefreshClaims};
use super::keys::TokenKeys;
use super::settings::TokenSettings;
use super::strict;
use super::wire::{self, Kind};
use crate::clock::Timestamp;
use crate::error::{Error, Result};

/// Signs and verifies tokens. A handle: clones share the keys and the memory of what was verified.
#[derive(Clone)]
pub struct Tokens(Arc<Inner>);

struct Inner {
    keys: TokenKeys,
    checks: Checks<AccessClaims>,
}

impl Tokens {
    /// Takes keys and settings, neither of which changes from here on.
    #[must_use]
    pub fn new(keys: TokenKeys, settings: TokenSettings) -> Self {
        let checks = Checks::new(keys.ring(), settings);
        Self(Arc::new(Inner { keys, checks }))
    }

    /// Signs an access token with the current key.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) if the token would be longer
    /// than [`MAX_TOKEN_BYTES`](super::MAX_TOKEN_BYTES), which takes hundreds of permissions.
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) if the cryptography fails.
    pub fn sign_access(&self, claims: &AccessClaims) -> Result<String> {
        let Inner { keys, checks } = &*self.0;
        let payload = wire::write_access(claims, &checks.settings)?;
        let token = keys.sign(keys.signing_key(), Kind::Access, &payload)?;
        strict::check_size(&token).map_err(|_| {
            Error::configuration("an access token with so many permissions is longer than 8 KiB")
        })?;
        Ok(token)
    }

    /// Signs a refresh token with the key of that id, or with the current one if that key is gone.
    ///
    /// Deterministic: the same claims under the same key are the same bytes, so that a client that
    /// lost the answer is given the same token again.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) if the cryptography fails.
    pub fn sign_refresh(&self, claims: &RefreshClaims, key: &str) -> Result<String> {
        let Inner { keys, checks } = &*self.0;
        keys.sign(key, Kind::Refresh, &wire::write_refresh(claims, &checks.settings)?)
    }

    /// The id of the key that signs now.
    #[must_use]
    pub fn signing_key(&self) -> &str {
        self.0.keys.signing_key()
    }

    /// What tokens are verified against.
    #[must_use]
    pub fn settings(&self) -> &TokenSettings {
        &self.0.checks.settings
    }

    /// The public keys as a JWK set; see [`TokenKeys::jwks`].
    #[must_use]
    pub fn jwks(&self) -> serde_json::Value {
        self.0.keys.jwks()
    }

    /// Verifies an access token. Whether its session lives is not asked here.
    ///
    /// A token that was verified before is not verified again, but its times are checked.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TokenExpired`](crate::ErrorKind::TokenExpired) if all is good but the time,
    /// [`ErrorKind::InvalidToken`](crate::ErrorKind::InvalidToken) for everything else. What it was
    /// stands in the error's `Display`, for the log.
    pub fn verify_access(&self, token: &str, now: Timestamp) -> Result<Arc<AccessClaims>> {
        self.0.checks.access(token, now)
    }

    /// Verifies a refresh token. Whether it is the current one of a living session is not asked
    /// here.
    ///
    /// # Errors
    ///
    /// As [`Tokens::verify_access`].
    pub fn verify_refresh(&self, token: &str, now: Timestamp) -> Result<RefreshClaims> {
        self.0.checks.refresh(token, now)
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.0.checks.remembered()
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { keys, checks } = &*self.0;
        let mut debug = formatter.debug_struct("Tokens");
        debug.field("keys", keys).field("settings", &checks.settings).finish_non_exhaustive()
    }
}
