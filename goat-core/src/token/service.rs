//! Token service: signs and verifies tokens, and exports the public keys.

use std::fmt;
use std::sync::Arc;

use super::added::AddedClaims;
use super::checks::Checks;
use super::claims::{AccessClaims, DeviceClaims, RefreshClaims};
use super::keys::TokenKeys;
use super::settings::TokenSettings;
use super::wire::{self, Kind};
use super::{device, strict};
use crate::clock::Timestamp;
use crate::error::{Error, Result};

/// Signs and verifies tokens. Clones share the keys and the cache of verified tokens.
#[derive(Clone)]
pub struct Tokens(Arc<Inner>);

struct Inner {
    keys: TokenKeys,
    checks: Checks<AccessClaims>,
}

impl Tokens {
    /// Takes keys and settings, which do not change afterwards.
    #[must_use]
    pub fn new(keys: TokenKeys, settings: TokenSettings) -> Self {
        let checks = Checks::new(keys.ring(), settings);
        Self(Arc::new(Inner { keys, checks }))
    }

    /// Signs an access token with the active key.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) if the token would be longer
    /// than [`MAX_TOKEN_BYTES`](super::MAX_TOKEN_BYTES), which takes hundreds of permissions or large attributes.
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) if the cryptography fails.
    pub fn sign_access(&self, claims: &AccessClaims) -> Result<String> {
        self.sign_access_with(claims, None)
    }

    /// Like [`Tokens::sign_access`], with claims of the application.
    pub(crate) fn sign_access_with(
        &self,
        claims: &AccessClaims,
        added: Option<&AddedClaims>,
    ) -> Result<String> {
        let Inner { keys, checks } = &*self.0;
        let payload = wire::write_access(claims, added, &checks.settings)?;
        let token = keys.sign(keys.signing_key(), Kind::Access, &payload)?;
        strict::check_size(&token).map_err(|_| {
            Error::configuration("an access token with so many permissions is longer than 8 KiB")
        })?;
        Ok(token)
    }

    /// Signs a refresh token with the key of this id, or with the active key if that one is gone.
    ///
    /// Deterministic: the same claims and key give the same bytes, so that a client that lost the
    /// response receives the same token again.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) if the cryptography fails.
    pub fn sign_refresh(&self, claims: &RefreshClaims, key: &str) -> Result<String> {
        let Inner { keys, checks } = &*self.0;
        keys.sign(key, Kind::Refresh, &wire::write_refresh(claims, &checks.settings)?)
    }

    /// Signs a device token with the active key.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) if the cryptography fails.
    pub fn sign_device(&self, claims: &DeviceClaims) -> Result<String> {
        let Inner { keys, checks } = &*self.0;
        let payload = device::write(claims, &checks.settings)?;
        keys.sign(keys.signing_key(), Kind::Device, &payload)
    }

    /// The id of the active key.
    #[must_use]
    pub fn signing_key(&self) -> &str {
        self.0.keys.signing_key()
    }

    /// The expected issuer and audience, and the leeway.
    #[must_use]
    pub fn settings(&self) -> &TokenSettings {
        &self.0.checks.settings
    }

    /// The public keys as a JWK set; see [`TokenKeys::jwks`].
    #[must_use]
    pub fn jwks(&self) -> serde_json::Value {
        self.0.keys.jwks()
    }

    /// Verifies an access token. The session is not looked up.
    ///
    /// For a token that was verified before, only the times are checked.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TokenExpired`](crate::ErrorKind::TokenExpired) for an expired but otherwise
    /// valid token, else [`ErrorKind::InvalidToken`](crate::ErrorKind::InvalidToken). The error's
    /// `Display` has the reason, for the log.
    pub fn verify_access(&self, token: &str, now: Timestamp) -> Result<Arc<AccessClaims>> {
        self.0.checks.access(token, now)
    }

    /// Like [`Tokens::verify_access`], for a token that may have expired.
    pub(crate) fn verify_access_or_expired(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<AccessClaims> {
        self.0.checks.access_or_expired(token, now)
    }

    /// Verifies a refresh token. Whether it is the current one of a live session is not checked.
    ///
    /// # Errors
    ///
    /// As [`Tokens::verify_access`].
    pub fn verify_refresh(&self, token: &str, now: Timestamp) -> Result<RefreshClaims> {
        self.0.checks.refresh(token, now)
    }

    /// Verifies a device token.
    ///
    /// # Errors
    ///
    /// As [`Tokens::verify_access`].
    pub fn verify_device(&self, token: &str, now: Timestamp) -> Result<DeviceClaims> {
        self.0.checks.device(token, now)
    }

    #[cfg(test)]
    pub(super) fn cached(&self) -> usize {
        self.0.checks.cached()
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { keys, checks } = &*self.0;
        let mut debug = formatter.debug_struct("Tokens");
        debug.field("keys", keys).field("settings", &checks.settings).finish_non_exhaustive()
    }
}
