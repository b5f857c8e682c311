//! What an application and the flows ask for: sign a token, verify a token, show the public keys.

use std::sync::Arc;

use super::claims::{AccessClaims, RefreshClaims};
use super::keys::TokenKeys;
use super::settings::TokenSettings;
use super::verified::{Entry, Fingerprint, Verified};
use super::wire::{self, Kind};
use super::{refused, strict};
use crate::clock::Timestamp;
use crate::error::{Error, Result};

/// Signs and verifies tokens. A handle: clones share the keys and the memory of what was verified.
#[derive(Clone, Debug)]
pub struct Tokens(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    keys: TokenKeys,
    settings: TokenSettings,
    verified: Verified,
}

impl Tokens {
    /// Takes keys and settings, neither of which changes from here on.
    #[must_use]
    pub fn new(keys: TokenKeys, settings: TokenSettings) -> Self {
        Self(Arc::new(Inner { keys, settings, verified: Verified::new() }))
    }

    /// Signs an access token with the current key.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) if the token would be longer
    /// than [`MAX_TOKEN_BYTES`](super::MAX_TOKEN_BYTES), which takes hundreds of permissions.
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) if the cryptography fails.
    pub fn sign_access(&self, claims: &AccessClaims) -> Result<String> {
        let Inner { keys, settings, .. } = &*self.0;
        let payload = wire::write_access(claims, settings)?;
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
        let Inner { keys, settings, .. } = &*self.0;
        keys.sign(key, Kind::Refresh, &wire::write_refresh(claims, settings)?)
    }

    /// The id of the key that signs now.
    #[must_use]
    pub fn signing_key(&self) -> &str {
        self.0.keys.signing_key()
    }

    /// What tokens are verified against.
    #[must_use]
    pub fn settings(&self) -> &TokenSettings {
        &self.0.settings
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
        let Inner { settings, verified, .. } = &*self.0;
        strict::check_size(token)?;
        let fingerprint = Fingerprint::of(token);
        if let Some(entry) = verified.get(&fingerprint) {
            entry.validity.check(now, settings)?;
            return Ok(entry.claims);
        }
        let payload = self.authentic(token, Kind::Access)?;
        let (claims, validity) = wire::read_access(&payload, settings)?;
        validity.check(now, settings)?;
        let claims = Arc::new(claims);
        verified.insert(fingerprint, Entry { claims: Arc::clone(&claims), validity }, now);
        Ok(claims)
    }

    /// Verifies a refresh token. Whether it is the current one of a living session is not asked
    /// here.
    ///
    /// # Errors
    ///
    /// As [`Tokens::verify_access`].
    pub fn verify_refresh(&self, token: &str, now: Timestamp) -> Result<RefreshClaims> {
        let settings = &self.0.settings;
        strict::check_size(token)?;
        let payload = self.authentic(token, Kind::Refresh)?;
        let (claims, validity) = wire::read_refresh(&payload, settings)?;
        validity.check(now, settings)?;
        Ok(claims)
    }

    /// The payload of a token that one of the keys signed for this purpose.
    fn authentic(&self, token: &str, kind: Kind) -> Result<Vec<u8>> {
        let keys = &self.0.keys;
        let parts = strict::split(token)?;
        let header = strict::header(&parts.header)?;
        if header.typ != kind.typ() {
            return Err(refused("the token is of another type"));
        }
        let key = keys.find(&header.kid).ok_or_else(|| refused("the token's key is not known"))?;
        // The algorithm belongs to the key (RFC 8725 §3.1); the header can only agree.
        if header.alg != keys.algorithm() {
            return Err(refused("the token's algorithm is not its key's"));
        }
        if !keys.verifies(key, parts.message, parts.signature) {
            return Err(refused("the token's signature is wrong"));
        }
        Ok(parts.payload)
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.0.verified.len()
    }
}
