//! The keys that sign tokens, each known by a `kid` that is made from its content.
//!
//! Invariants: all keys of one set are of one algorithm; the first can sign; no two are the same;
//! each has signed and verified once before the set exists.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::ed25519::{self, Document};
use super::wire::{self, Kind};
use super::{MIN_SECRET_BYTES, provider};
use crate::error::{Error, ErrorKind, Result};
use crate::secret::Secret;

/// Keeps the id of a shared secret apart from every other hash of it.
const SECRET_ID_DOMAIN: &[u8] = b"goat token secret id v1\0";

/// What every key signs and verifies once before it is used for tokens. It is no JWT's text.
const PROBE: &[u8] = b"goat token key check";

/// The keys that sign and verify tokens. The first signs, all verify; a key that is no longer
/// among them ends the tokens that it signed.
///
/// Ids (`kid`) are made from the keys' content, so they stay the same in any order and on every
/// node.
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
pub struct TokenKeys {
    algorithm: Algorithm,
    first: Key,
    others: Vec<Key>,
}

/// One key.
#[derive(Clone)]
pub(super) struct Key {
    /// Its id.
    pub(super) kid: String,
    /// What signs; `None` where only the public key is known.
    signing: Option<EncodingKey>,
    verifying: DecodingKey,
    /// The `x` of its JWK, for Ed25519.
    public: Option<String>,
    /// The encoded headers of the tokens that it signs.
    access_header: String,
    refresh_header: String,
}

impl TokenKeys {
    /// Shared secrets for HS256. The first signs, all verify.
    ///
    /// See [`weak_secret`](super::weak_secret) for secrets that are long enough and still known to
    /// everybody.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) if there is none, if one is
    /// shorter than 32 bytes (RFC 7518 §3.2), if two are the same, or if no cryptography provider
    /// is there.
    pub fn hs256(secrets: Vec<Secret<Vec<u8>>>) -> Result<Self> {
        let keys = secrets.into_iter().enumerate().map(|(index, secret)| {
            let secret = secret.expose().as_slice();
            if secret.len() < MIN_SECRET_BYTES {
                return Err(Error::configuration(format!(
                    "token secret {} is shorter than {MIN_SECRET_BYTES} bytes",
                    index + 1
                )));
            }
            Ok(Key::shared(secret))
        });
        Self::assemble(Algorithm::HS256, keys)
    }

    /// Ed25519 keys in PEM. The first is a private key in PKCS#8 (RFC 8410) and signs; those after
    /// it may be public keys, and verify.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) if there is none, if one is
    /// not what it must be, if two are the same, or if no cryptography provider is there.
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

    /// A fresh EdDSA key that lives in memory only, for tests and for trying things out: when the
    /// process ends, so do its tokens.
    ///
    /// # Panics
    ///
    /// If the operating system has no randomness to give, or if there is no cryptography provider
    /// (see the features `aws-lc-rs` and `rust-crypto`).
    #[must_use]
    #[expect(clippy::expect_used, reason = "a fresh key is a good one")]
    pub fn generate() -> Self {
        Self::eddsa(&[Self::generate_pem()]).expect("a fresh key needs a cryptography provider")
    }

    /// A fresh Ed25519 private key in PEM (PKCS#8, RFC 8410), to be stored and given to
    /// [`TokenKeys::eddsa`].
    ///
    /// # Panics
    ///
    /// If the operating system has no randomness to give.
    #[must_use]
    pub fn generate_pem() -> Secret<String> {
        ed25519::generate_pem()
    }

    /// The name of the algorithm: `HS256` or `EdDSA`.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        algorithm_name(self.algorithm)
    }

    /// The id of the key that signs.
    #[must_use]
    pub fn signing_key(&self) -> &str {
        &self.first.kid
    }

    /// The ids of all keys, that of the one that signs first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|key| &*key.kid)
    }

    /// The public keys as a JWK set (RFC 7517, RFC 8037), for services that verify access tokens
    /// themselves. Empty for HS256, which has no public half.
    #[must_use]
    pub fn jwks(&self) -> serde_json::Value {
        let public = self.iter().filter_map(|key| {
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

    /// Reads the keys, once there is something to read them with, and lets each prove itself.
    fn assemble(algorithm: Algorithm, keys: impl Iterator<Item = Result<Key>>) -> Result<Self> {
        provider::install();
        let mut keys = keys.collect::<Result<Vec<_>>>()?;
        for (index, key) in keys.iter().enumerate() {
            if let Some(twin) = keys[..index].iter().position(|earlier| earlier.kid == key.kid) {
                return Err(Error::configuration(format!(
                    "token keys {} and {} are the same",
                    twin + 1,
                    index + 1
                )));
            }
            key.prove(algorithm)?;
        }
        if keys.is_empty() {
            return Err(Error::configuration("tokens need at least one key"));
        }
        let others = keys.split_off(1);
        let first = keys.remove(0);
        Ok(Self { algorithm, first, others })
    }

    fn iter(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The key of that id.
    pub(super) fn find(&self, kid: &str) -> Option<&Key> {
        self.iter().find(|key| key.kid == kid)
    }

    /// Signs with the key of that id, or with the first if there is none that can.
    pub(super) fn sign(&self, kid: &str, kind: Kind, payload: &[u8]) -> Result<String> {
        let signing = |key: &Key| key.signing.is_some();
        let key = self.find(kid).filter(|key| signing(key)).unwrap_or(&self.first);
        key.sign(self.algorithm, kind, payload)
            .ok_or_else(|| Error::new(ErrorKind::Internal, "cannot sign a token"))
    }

    /// Whether the key signed the message. `signature` is in base64url.
    pub(super) fn verifies(&self, key: &Key, message: &str, signature: &str) -> bool {
        crypto::verify(signature, message.as_bytes(), &key.verifying, self.algorithm)
            .unwrap_or(false)
    }
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TokenKeys")
            .field("algorithm", &self.algorithm)
            .field("kids", &self.ids().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl Key {
    /// Half a hash is plenty to tell keys apart, and says nothing about a secret that the tokens
    /// it signs do not say already.
    fn shared(secret: &[u8]) -> Self {
        let hash = Sha256::new().chain_update(SECRET_ID_DOMAIN).chain_update(secret).finalize();
        let kid = URL_SAFE_NO_PAD.encode(&hash[..16]);
        let signing = EncodingKey::from_secret(secret);
        let verifying = DecodingKey::from_secret(secret);
        Self::new(Algorithm::HS256, kid, Some(signing), verifying, None)
    }

    fn private(der: &[u8]) -> Result<Self> {
        let signing = EncodingKey::from_ed_der(der);
        let jwk = provider::attempt(|| Jwk::from_encoding_key(&signing, Algorithm::EdDSA))?;
        let AlgorithmParameters::OctetKeyPair(public) = jwk.algorithm else {
            return Err(Error::configuration("the token key is not of the Ed25519 kind"));
        };
        Self::of_pair(Some(signing), public.x)
    }

    fn public(bytes: &[u8; 32]) -> Result<Self> {
        Self::of_pair(None, URL_SAFE_NO_PAD.encode(bytes))
    }

    /// `x` is the public key in base64url; the id is its thumbprint (RFC 7638, RFC 8037 §2).
    fn of_pair(signing: Option<EncodingKey>, x: String) -> Result<Self> {
        let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        let kid = URL_SAFE_NO_PAD.encode(Sha256::digest(members));
        let verifying = provider::attempt(|| DecodingKey::from_ed_components(&x))?;
        Ok(Self::new(Algorithm::EdDSA, kid, signing, verifying, Some(x)))
    }

    fn new(
        algorithm: Algorithm,
        kid: String,
        signing: Option<EncodingKey>,
        verifying: DecodingKey,
        public: Option<String>,
    ) -> Self {
        let header = |kind| wire::header(algorithm_name(algorithm), kind, &kid);
        let (access_header, refresh_header) = (header(Kind::Access), header(Kind::Refresh));
        Self { kid, signing, verifying, public, access_header, refresh_header }
    }

    fn sign(&self, algorithm: Algorithm, kind: Kind, payload: &[u8]) -> Option<String> {
        let header = match kind {
            Kind::Access => &self.access_header,
            Kind::Refresh => &self.refresh_header,
        };
        let mut token = String::with_capacity(header.len() + payload.len() * 4 / 3 + 96);
        token.push_str(header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(payload, &mut token);
        let signature = crypto::sign(token.as_bytes(), self.signing.as_ref()?, algorithm).ok()?;
        token.push('.');
        token.push_str(&signature);
        Some(token)
    }

    /// Signs and verifies once, so that a provider that is missing or cannot do it, or a public key
    /// that is none, is found now and not by the first user.
    fn prove(&self, algorithm: Algorithm) -> Result<()> {
        let good = provider::attempt(|| match &self.signing {
            Some(signing) => {
                let signature = crypto::sign(PROBE, signing, algorithm)?;
                crypto::verify(&signature, PROBE, &self.verifying, algorithm)
            }
            // Nothing is known that it signed: it is enough that it can refuse.
            None => {
                let nonsense = URL_SAFE_NO_PAD.encode([0x55; 64]);
                crypto::verify(&nonsense, PROBE, &self.verifying, algorithm).map(|good| !good)
            }
        })?;
        if good { Ok(()) } else { Err(Error::configuration("a token key fails its own check")) }
    }
}

/// As it stands in a header.
fn algorithm_name(algorithm: Algorithm) -> &'static str {
    if algorithm == Algorithm::HS256 { "HS256" } else { "EdDSA" }
}
