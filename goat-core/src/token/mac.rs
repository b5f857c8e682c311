//! Message authentication of data that goat keeps where others may write, under keys derived from the
//! token keys.
//!
//! HMAC-SHA-256. A key is derived from a token key by HMAC with a label, so that no MAC is a token's
//! signature and no signature is a MAC. The key ring decides as for tokens: the first key signs, all
//! keys verify, and a key of which only the public half is known does neither.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto};
use zeroize::Zeroizing;

use super::provider;
use crate::error::{Error, Result};

/// The label of the derivation. It cannot be the signed part of a JWT.
const LABEL: &[u8] = b"goat mac key v1\0";

/// A key for MACs, derived from a token key.
#[derive(Clone)]
pub(super) struct MacKey {
    signing: EncodingKey,
    verifying: DecodingKey,
}

impl MacKey {
    /// Derives the key from a shared secret, or from the private key of a pair.
    pub(super) fn derive(secret: &[u8]) -> Result<Self> {
        let derived = provider::attempt(|| {
            crypto::sign(LABEL, &EncodingKey::from_secret(secret)?, Algorithm::HS256)
        })?;
        let derived = Zeroizing::new(derived);
        let key = URL_SAFE_NO_PAD.decode(derived.as_bytes()).map(Zeroizing::new);
        let key = key.map_err(|_| Error::configuration("a key cannot be derived"))?;
        Ok(Self {
            signing: provider::attempt(|| EncodingKey::from_secret(&key))?,
            verifying: provider::attempt(|| DecodingKey::from_secret(&key))?,
        })
    }
}

/// The MAC keys of a key ring. Clones share them.
#[derive(Clone)]
pub(crate) struct MacKeys(Arc<[MacKey]>);

impl MacKeys {
    /// The keys in the ring's order.
    pub(super) fn new(keys: impl Iterator<Item = MacKey>) -> Self {
        Self(keys.collect())
    }

    /// Returns the MAC of a message by the first key, in base64url; none if the provider fails.
    pub(crate) fn sign(&self, message: &[u8]) -> Option<String> {
        crypto::sign(message, &self.0.first()?.signing, Algorithm::HS256).ok()
    }

    /// Whether any of the keys made the MAC. The comparison takes constant time.
    pub(crate) fn verify(&self, message: &[u8], mac: &str) -> bool {
        let made = |key: &MacKey| crypto::verify(mac, message, &key.verifying, Algorithm::HS256);
        self.0.iter().any(|key| made(key).unwrap_or(false))
    }
}

impl fmt::Debug for MacKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MacKeys")
    }
}
