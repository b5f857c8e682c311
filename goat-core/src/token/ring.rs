//! Key ring: keys of one algorithm, found by `kid`. The first one signs, all verify.
//!
//! Invariants: there is at least one key, and no duplicates; each key has passed a self-check
//! (verified once, and signed if it can) before the ring exists.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto};
use sha2::{Digest, Sha256};

use super::mac::{MacKey, MacKeys};
use super::provider;
use super::small_order::is_of_small_order;
use super::wire::{self, Kind};
use crate::error::{Error, ErrorKind, Result};

/// Separates the id of a shared secret from all other hashes of it.
const SECRET_ID_DOMAIN: &[u8] = b"goat token secret id v1\0";

/// Message of the self-check. It cannot be part of a JWT.
const PROBE: &[u8] = b"goat token key check";

/// Keys of one algorithm.
pub(super) struct KeyRing {
    algorithm: Algorithm,
    /// The active key, if the ring signs.
    first: Key,
    others: Vec<Key>,
}

/// A key of the ring.
pub(super) struct Key {
    /// Key id.
    pub(super) kid: String,
    /// Signing key; `None` if only the public key is known.
    signing: Option<EncodingKey>,
    verifying: DecodingKey,
    /// The `x` of its JWK, for Ed25519.
    pub(super) public: Option<String>,
    /// Encoded headers of the tokens that this key signs.
    access_header: String,
    refresh_header: String,
    device_header: String,
    /// None if only the public key is known.
    mac: Option<MacKey>,
}

impl KeyRing {
    /// Installs the provider, builds the keys and runs their self-checks.
    pub(super) fn assemble(
        algorithm: Algorithm,
        keys: impl Iterator<Item = Result<Key>>,
    ) -> Result<Self> {
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
            key.self_check(algorithm)?;
        }
        if keys.is_empty() {
            return Err(Error::configuration("tokens need at least one key"));
        }
        let others = keys.split_off(1);
        let first = keys.remove(0);
        Ok(Self { algorithm, first, others })
    }

    /// The algorithm's name in token headers.
    pub(super) fn algorithm(&self) -> &'static str {
        algorithm_name(self.algorithm)
    }

    /// All keys, the active one first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Returns the keys for MACs that are derived from these keys.
    pub(super) fn macs(&self) -> MacKeys {
        MacKeys::new(self.iter().filter_map(|key| key.mac.clone()))
    }

    /// Finds a key by its id.
    pub(super) fn find(&self, kid: &str) -> Option<&Key> {
        self.iter().find(|key| key.kid == kid)
    }

    /// The id of the active key.
    pub(super) fn first(&self) -> &str {
        &self.first.kid
    }

    /// Signs with the key of this id, or with the active key if that one cannot sign.
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

impl Key {
    /// Builds a shared HMAC key. Half a hash suffices to distinguish keys, and reveals nothing
    /// about the secret beyond the tokens that it signs.
    pub(super) fn shared(secret: &[u8]) -> Result<Self> {
        let hash = Sha256::new().chain_update(SECRET_ID_DOMAIN).chain_update(secret).finalize();
        let kid = URL_SAFE_NO_PAD.encode(&hash[..16]);
        let signing = provider::attempt(|| EncodingKey::from_secret(secret))?;
        let verifying = provider::attempt(|| DecodingKey::from_secret(secret))?;
        let mac = Some(MacKey::derive(secret)?);
        Ok(Self { mac, ..Self::new(Algorithm::HS256, kid, Some(signing), verifying, None) })
    }

    pub(super) fn private(der: &[u8]) -> Result<Self> {
        let signing = EncodingKey::from_ed_der(der);
        let jwk = provider::attempt(|| Jwk::from_encoding_key(&signing, Algorithm::EdDSA))?;
        let AlgorithmParameters::OctetKeyPair(public) = jwk.algorithm else {
            return Err(Error::configuration("the token key is not of the Ed25519 kind"));
        };
        Ok(Self { mac: Some(MacKey::derive(der)?), ..Self::of_pair(Some(signing), public.x)? })
    }

    pub(super) fn public(bytes: &[u8; 32]) -> Result<Self> {
        if is_of_small_order(bytes) {
            return Err(Error::configuration(
                "a public token key is of small order, so signatures for it can be forged",
            ));
        }
        Self::of_pair(None, URL_SAFE_NO_PAD.encode(bytes))
    }

    /// `x` is the public key in base64url; the key id is its thumbprint.
    fn of_pair(signing: Option<EncodingKey>, x: String) -> Result<Self> {
        let kid = thumbprint(&x);
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
        let [access_header, refresh_header, device_header] =
            [Kind::Access, Kind::Refresh, Kind::Device].map(header);
        Self {
            kid,
            signing,
            verifying,
            public,
            access_header,
            refresh_header,
            device_header,
            mac: None,
        }
    }

    /// Returns the encoded header of the access tokens that this key signs.
    pub(super) fn access_header(&self) -> &str {
        &self.access_header
    }

    fn sign(&self, algorithm: Algorithm, kind: Kind, payload: &[u8]) -> Option<String> {
        let header = match kind {
            Kind::Access => &self.access_header,
            Kind::Refresh => &self.refresh_header,
            Kind::Device => &self.device_header,
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

    /// Self-check: signs and verifies once, so that a missing or incapable provider or an invalid
    /// public key is an error at startup.
    fn self_check(&self, algorithm: Algorithm) -> Result<()> {
        let good = provider::attempt(|| match &self.signing {
            Some(signing) => {
                let signature = crypto::sign(PROBE, signing, algorithm)?;
                crypto::verify(&signature, PROBE, &self.verifying, algorithm)
            }
            // There is no signature to verify, so it must reject an invalid one.
            None => {
                let nonsense = URL_SAFE_NO_PAD.encode([0x55; 64]);
                crypto::verify(&nonsense, PROBE, &self.verifying, algorithm).map(|good| !good)
            }
        })?;
        if good { Ok(()) } else { Err(Error::configuration("a token key fails its own check")) }
    }
}

/// The algorithm's name in token headers.
fn algorithm_name(algorithm: Algorithm) -> &'static str {
    if algorithm == Algorithm::HS256 { "HS256" } else { "EdDSA" }
}

/// The thumbprint of an Ed25519 key (RFC 7638, RFC 8037 §2), whose `x` is in base64url.
fn thumbprint(x: &str) -> String {
    let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    URL_SAFE_NO_PAD.encode(Sha256::digest(members))
}
