//! The checks that a token must pass: one text for goat itself and for those who hold its public keys.
//!
//! Invariants: no claim is looked at before the signature over it has been found good. What is
//! remembered was found good under these very keys, which never change: other keys are other checks.

use std::sync::Arc;

use super::claims::{AccessClaims, RefreshClaims};
use super::ring::Ring;
use super::settings::TokenSettings;
use super::verified::{Entry, Fingerprint, Verified};
use super::wire::{self, Kind};
use super::{UnknownKey, refused, strict};
use crate::clock::Timestamp;
use crate::error::Result;

/// Keys, what their tokens must say, and the memory of those that do. `T` is what an access token
/// becomes for whoever asks.
pub(super) struct Checks<T> {
    pub(super) keys: Arc<Ring>,
    pub(super) settings: TokenSettings,
    verified: Verified<T>,
}

impl<T: From<AccessClaims>> Checks<T> {
    pub(super) fn new(keys: Arc<Ring>, settings: TokenSettings) -> Self {
        Self { keys, settings, verified: Verified::new() }
    }

    /// What an access token says, if it is good now. One that was verified before is not verified
    /// again, but its times are checked.
    pub(super) fn access(&self, token: &str, now: Timestamp) -> Result<Arc<T>> {
        strict::check_size(token)?;
        let fingerprint = Fingerprint::of(token);
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

    /// What a refresh token says, if it is good now.
    pub(super) fn refresh(&self, token: &str, now: Timestamp) -> Result<RefreshClaims> {
        strict::check_size(token)?;
        let payload = self.authentic(token, Kind::Refresh)?;
        let (claims, validity) = wire::read_refresh(&payload, &self.settings)?;
        validity.check(now, &self.settings)?;
        Ok(claims)
    }

    /// The payload of a token that one of the keys signed for this purpose.
    fn authentic(&self, token: &str, kind: Kind) -> Result<Vec<u8>> {
        let parts = strict::split(token)?;
        let header = strict::header(&parts.header)?;
        if header.typ != kind.typ() {
            return Err(refused("the token is of another type"));
        }
        // The algorithm belongs to the keys (RFC 8725 §3.1); the header can only agree.
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
    pub(super) fn remembered(&self) -> usize {
        self.verified.len()
    }
}
