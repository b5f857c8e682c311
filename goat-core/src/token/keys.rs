//! Signing keys of tokens. The `kid` of a key is derived from its content.
//!
//! Invariants: those of a [`KeyRing`]; and the first key can sign.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::json;

use super::MIN_SECRET_BYTES;
use super::ed25519::{self, Document};
use super::mac::MacKeys;
use super::ring::{Key, KeyRing};
use super::wire::Kind;
use crate::error::{Error, Result};
use crate::secret::Secret;

/// Key ring for tokens. The first key is active and signs; all keys verify. Removing a key
/// invalidates the tokens that it signed.
///
/// Key ids (`kid`) are derived from the keys, so they are the same in any order and on every node.
///
/// ```
/// use goat_core::token::TokenKeys;
///
/// let old = TokenKeys::generate_pem();
/// let new = TokenKeys::generate_pem();
/// let keys = TokenKeys::eddsa(&[new.clone(), old])?;
/// assert_eq!(keys.signing_key(), TokenKeys::eddsa(&[new])?.signing_key());
/// # Ok::<(), goat_core::Error>(())
/// ```
#[derive(Clone)]
pub struct TokenKeys(Arc<KeyRing>);

impl TokenKeys {
    /// Creates a key ring of shared secrets for HS256. The first signs, all verify.
    ///
    /// [`weak_secret`](super::weak_secret) detects long but well-known secrets.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) if there is no secret, one is
    /// shorter than 32 bytes (RFC 7518 §3.2), two are the same, or there is no cryptography
    /// provider.
    pub fn hs256(secrets: Vec<Secret<Vec<u8>>>) -> Result<Self> {
        let keys = secrets.into_iter().enumerate().map(|(index, secret)| {
            let secret = secret.expose().as_slice();
            if secret.len() < MIN_SECRET_BYTES {
                return Err(Error::configuration(format!(
                    "token secret {} is shorter than {MIN_SECRET_BYTES} bytes",
                    index + 1
                )));
            }
            Key::shared(secret)
        });
        Self::assemble(Algorithm::HS256, keys)
    }

    /// Creates a key ring of Ed25519 keys in PEM. The first must be a private key in PKCS#8 (RFC
    /// 8410) and signs; the others may be public keys, and verify.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) if there is no key, one is
    /// invalid, two are the same, or there is no cryptography provider.
    pub fn eddsa(pems: &[Secret<String>]) -> Result<Self> {
        let keys = pems.iter().enumerate().map(|(index, pem)| {
            let wrong = |what| Error::configuration(format!("token key {} {what}", index + 1));
            match ed25519::read(pem.expose()).map_err(wrong)? {
                Document::Private { der, public } => {
                    let key = Key::private(&der)?;
                    let stated = public.map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
                    if stated.is_some() && stated != key.public {
                        return Err(wrong("holds a public key that is not its own"));
                    }
                    Ok(key)
                }
                Document::Public(_) if index == 0 => Err(wrong("must be a private key: it signs")),
                Document::Public(bytes) => Key::public(&bytes),
            }
        });
        Self::assemble(Algorithm::EdDSA, keys)
    }

    /// Generates an EdDSA key that exists in memory only, for tests and experiments: its tokens end
    /// with the process.
    ///
    /// # Panics
    ///
    /// If the operating system provides no randomness, or there is no cryptography provider (see
    /// the features `aws-lc-rs` and `rust-crypto`).
    #[must_use]
    #[expect(clippy::expect_used, reason = "a generated key is valid")]
    pub fn generate() -> Self {
        Self::eddsa(&[Self::generate_pem()]).expect("a fresh key needs a cryptography provider")
    }

    /// Generates an Ed25519 private key in PEM (PKCS#8, RFC 8410), to be stored and passed to
    /// [`TokenKeys::eddsa`].
    ///
    /// # Panics
    ///
    /// If the operating system provides no randomness.
    #[must_use]
    pub fn generate_pem() -> Secret<String> {
        ed25519::generate_pem()
    }

    /// The name of the algorithm: `HS256` or `EdDSA`.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        self.0.algorithm()
    }

    /// The id of the active key.
    #[must_use]
    pub fn signing_key(&self) -> &str {
        self.0.first()
    }

    /// The ids of all keys, the active one first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|key| &*key.kid)
    }

    /// The public keys as a JWK set (RFC 7517, RFC 8037), for services that verify access tokens
    /// themselves. Empty for HS256, which has no public keys.
    #[must_use]
    pub fn jwks(&self) -> serde_json::Value {
        let public = self.0.iter().filter_map(|key| {
            Some(json!({
                "kty": "OKP",
                "crv": "Ed25519",
                "x": key.public.as_ref()?,
                "kid": key.kid,
                "use": "sig",
                "alg": self.algorithm(),
            }))
        });
        json!({ "keys": public.collect::<Vec<_>>() })
    }

    fn assemble(algorithm: Algorithm, keys: impl Iterator<Item = Result<Key>>) -> Result<Self> {
        Ok(Self(Arc::new(KeyRing::assemble(algorithm, keys)?)))
    }

    /// The key ring, for verification.
    pub(super) fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.0)
    }

    /// The same keys without the private ones: they verify and cannot sign.
    #[cfg(test)]
    pub(crate) fn public_only(&self) -> Self {
        let keys = self.0.iter().map(|key| {
            let public = key.public.as_deref().and_then(|x| URL_SAFE_NO_PAD.decode(x).ok());
            let bytes = public.and_then(|bytes| bytes.try_into().ok());
            Key::public(&bytes.ok_or_else(|| Error::configuration("not an Ed25519 key"))?)
        });
        Self::assemble(Algorithm::EdDSA, keys).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The keys for MACs that are derived from these keys.
    pub(crate) fn macs(&self) -> MacKeys {
        self.0.macs()
    }

    /// Signs with the key of this id, or with the active key if that one cannot sign.
    pub(super) fn sign(&self, kid: &str, kind: Kind, payload: &[u8]) -> Result<String> {
        self.0.sign(kid, kind, payload)
    }
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TokenKeys")
            .field("algorithm", &self.algorithm())
            .field("kids", &self.ids().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
