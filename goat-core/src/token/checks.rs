//! Verification of tokens, shared by [`Tokens`](super::Tokens) and [`Verifier`](super::Verifier).
//!
//! Invariants: no claim is read before the signature is verified. Cached verifications belong to
//! these keys, which never change: another key ring comes with a `Checks` of its own.

use std::sync::Arc;

use super::claims::{AccessClaims, DeviceClaims, RefreshClaims};
use super::fingerprint::Fingerprints;
use super::ring::KeyRing;
use super::settings::TokenSettings;
use super::verified::{Entry, Verified};
use super::wire::{self, Kind};
use super::{UnknownKey, device, refused, strict};
use crate::clock::Timestamp;
use crate::error::{ErrorKind, Result};

/// A key ring, the expected claims, and a cache of verified access tokens. `T` is the cached form
/// of the claims.
pub(super) struct Checks<T> {
    pub(super) keys: Arc<KeyRing>,
    pub(super) settings: TokenSettings,
    fingerprints: Fingerprints,
    verified: Verified<T>,
}

impl<T: From<AccessClaims>> Checks<T> {
    pub(super) fn new(keys: Arc<KeyRing>, settings: TokenSettings) -> Self {
        let fingerprints = Fingerprints::new(&keys, &settings);
        Self { keys, settings, fingerprints, verified: Verified::new() }
    }

    /// Returns the claims of an access token if it is valid now. For a cached token only the times
    /// are checked.
    pub(super) fn access(&self, token: &str, now: Timestamp) -> Result<Arc<T>> {
        strict::check_size(token)?;
        let fingerprint = self.fingerprints.of(token);
        if let Some(entry) = self.verified.get(&fingerprint) {
            entry.validity.check(now, &self.settings)?;
            return Ok(entry.claims);
        }
        let payload = self.authentic(token, Kind::Access)?;
        let (claims, validity) = wire::read_access(&payload, &self.settings)?;
        validity.check(now, &self.settings)?;
        let claims = Arc::new(T::from(claims));
        self.verified.insert(fingerprint, Entry { claims: Arc::clone(&claims), validity }, now);
        Ok(claims)
    }

    /// Returns the claims of an access token that is valid, or was until it expired.
    pub(super) fn access_or_expired(&self, token: &str, now: Timestamp) -> Result<AccessClaims> {
        strict::check_size(token)?;
        let payload = self.authentic(token, Kind::Access)?;
        let (claims, validity) = wire::read_access(&payload, &self.settings)?;
        match validity.check(now, &self.settings) {
            Err(error) if error.kind() != ErrorKind::TokenExpired => Err(error),
            _ => Ok(claims),
        }
    }

    /// Returns the claims of a refresh token if it is valid now.
    pub(super) fn refresh(&self, token: &str, now: Timestamp) -> Result<RefreshClaims> {
        strict::check_size(token)?;
        let payload = self.authentic(token, Kind::Refresh)?;
        let (claims, validity) = wire::read_refresh(&payload, &self.settings)?;
        validity.check(now, &self.settings)?;
        Ok(claims)
    }

    /// Returns the claims of a device token if it is valid now.
    pub(super) fn device(&self, token: &str, now: Timestamp) -> Result<DeviceClaims> {
        strict::check_size(token)?;
        let payload = self.authentic(token, Kind::Device)?;
        let (claims, validity) = device::read(&payload, &self.settings)?;
        validity.check(now, &self.settings)?;
        Ok(claims)
    }

    /// Verifies type, algorithm and signature, and returns the payload.
    fn authentic(&self, token: &str, kind: Kind) -> Result<Vec<u8>> {
        let parts = strict::split(token)?;
        let header = strict::header(&parts.header)?;
        if header.typ != kind.typ() {
            return Err(refused("the token is of another type"));
        }
        // The algorithm is a property of the keys (RFC 8725 §3.1); the header must agree.
        if header.alg != self.keys.algorithm() {
            return Err(refused("the token's algorithm is not its key's"));
        }
        let unknown = || refused("the token's key is not known").with_source(UnknownKey);
        let key = self.keys.find(&header.kid).ok_or_else(unknown)?;
        if !self.keys.verifies(key, parts.message, parts.signature) {
            return Err(refused("the token's signature is wrong"));
        }
        Ok(parts.payload)
    }

    #[cfg(test)]
    pub(super) fn cached(&self) -> usize {
        self.verified.len()
    }
}
