//! JWK sets (RFC 7517): parsing the public keys that verify goat's tokens.
//!
//! Keys of other types and uses are skipped, as RFC 7517 §5 asks, since an issuer may publish keys
//! for other purposes. A key that declares itself an Ed25519 signing key (RFC 8037) must be valid,
//! and its `kid` must be its thumbprint (RFC 7638), as goat publishes it.
//!
//! Invariants: input that two parsers could interpret differently (a duplicate member, another
//! spelling of the same base64url) is refused. A set with a private key of any type is refused as a
//! whole. A set is parsed completely before any of it is used. No error quotes the document.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::ring::{Key, KeyRing};
use crate::error::{Error, Result};

/// The longest accepted document, in bytes: some four hundred keys, where two or three are usual.
const MAX_BYTES: usize = 64 * 1024;

/// Maximum members of an object, which bounds the search for duplicates.
const MAX_MEMBERS: usize = 64;

/// Secret members: a symmetric key (`k`, RFC 7518 §6.4), or the private part of a key pair (`d`,
/// RFC 7518 §6.2.2 and §6.3.2, RFC 8037 §2).
const PRIVATE_MEMBERS: [&str; 2] = ["d", "k"];

/// Parses the keys of a set.
pub(super) fn read(document: &[u8]) -> Result<KeyRing> {
    if document.len() > MAX_BYTES {
        return Err(wrong("is longer than 64 KiB"));
    }
    let document: Json = serde_json::from_slice(document).map_err(|error| {
        let what = if error.is_data() { "has a member twice, or too many" } else { "is not JSON" };
        wrong(format_args!("{what}: line {}, column {}", error.line(), error.column()))
    })?;
    let Some(Json::Array(keys)) = document.member("keys") else {
        return Err(wrong("has no array of `keys` (RFC 7517 §5)"));
    };
    // Check all keys for secret material before reporting anything else: this error matters most.
    for (number, key) in (1..).zip(keys) {
        if let Some(member) = PRIVATE_MEMBERS.iter().find(|name| key.member(name).is_some()) {
            return Err(wrong(format_args!(
                "holds secret key material (`{member}` of key {number}), which must never leave its \
                 issuer: take that key out of use, and publish public keys only"
            )));
        }
    }
    let (mut usable, mut skipped) = (Vec::new(), Vec::new());
    for (number, key) in (1..).zip(keys) {
        match foreign(key) {
            Some(reason) => skipped.push(format!("key {number} {reason}")),
            None => usable.push((number, key)),
        }
    }
    if usable.is_empty() {
        return Err(none_usable(&skipped));
    }
    let mut known: Vec<(usize, String)> = Vec::new();
    let keys = usable.into_iter().map(|(number, key)| {
        let key = ed25519(number, key)?;
        if let Some((twin, _)) = known.iter().find(|(_, kid)| *kid == key.kid) {
            return Err(wrong(format_args!("has one key twice: {twin} and {number}")));
        }
        known.push((number, key.kid.clone()));
        Ok(key)
    });
    KeyRing::assemble(Algorithm::EdDSA, keys)
}

/// Why a key is skipped; `None` if it declares itself an EdDSA verification key.
fn foreign(key: &Json) -> Option<&'static str> {
    let says = |name, value| key.member(name).and_then(Json::text) == Some(value);
    let says_or_is_silent = |name, value| key.member(name).is_none() || says(name, value);
    if !says("kty", "OKP") {
        return Some("is of another `kty` than OKP");
    }
    if !says("crv", "Ed25519") {
        return Some("is of another `crv` than Ed25519");
    }
    if !says_or_is_silent("use", "sig") {
        return Some("has another `use` than sig");
    }
    let verifies = |operations: &Json| match operations {
        Json::Array(items) => items.iter().any(|item| item.text() == Some("verify")),
        _ => false,
    };
    if !key.member("key_ops").is_none_or(verifies) {
        return Some("has no verify among its `key_ops`");
    }
    if !says_or_is_silent("alg", "EdDSA") {
        return Some("is for another `alg` than EdDSA");
    }
    None
}

/// Parses a key that declares itself an Ed25519 key for signatures.
fn ed25519(number: usize, key: &Json) -> Result<Key> {
    let x = key.member("x").and_then(Json::text);
    let bytes = x.and_then(|x| URL_SAFE_NO_PAD.decode(x).ok());
    let bytes: [u8; 32] = bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| {
        wrong(format_args!(
            "has a key {number} whose `x` is not 32 bytes in base64url (RFC 8037 §2)"
        ))
    })?;
    let known = Key::public(&bytes)?;
    if key.member("kid").and_then(Json::text) != Some(known.kid.as_str()) {
        return Err(wrong(format_args!(
            "has a key {number} whose `kid` is not the thumbprint of its `x` (RFC 7638): goat has not \
             published it so"
        )));
    }
    Ok(known)
}

/// The error for a set without a usable key, with advice for the issuer.
fn none_usable(skipped: &[String]) -> Error {
    if skipped.is_empty() {
        return wrong(
            "is empty: the issuer signs with HS256, which has no public half; have it sign with EdDSA",
        );
    }
    let shown = skipped.iter().take(4).map(String::as_str).collect::<Vec<_>>().join("; ");
    let more = if skipped.len() > 4 { "; …" } else { "" };
    wrong(format_args!("has no Ed25519 key that verifies signatures by EdDSA: {shown}{more}"))
}

fn wrong(what: impl fmt::Display) -> Error {
    Error::configuration(format!("the JWK set {what}"))
}

/// JSON in which no object has a duplicate member, at any depth. Scalars other than strings are
/// ignored.
enum Json {
    Object(Vec<(String, Json)>),
    Array(Vec<Json>),
    Text(String),
    Other,
}

impl Json {
    fn member(&self, name: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|member| member.0 == name).map(|member| &member.1)
    }

    fn text(&self) -> Option<&str> {
        let Self::Text(text) = self else { return None };
        Some(text)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Json;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("JSON")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
                let mut members: Vec<(String, Json)> = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if members.len() == MAX_MEMBERS || members.iter().any(|known| known.0 == name) {
                        return Err(serde::de::Error::custom("a member too many"));
                    }
                    members.push((name, map.next_value()?));
                }
                Ok(Json::Object(members))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(Json::Array(items))
            }

            fn visit_str<E>(self, text: &str) -> Result<Json, E> {
                Ok(Json::Text(text.to_owned()))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
                Ok(Json::Other)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
                Ok(Json::Other)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Json, E> {
                Ok(Json::Other)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
                Ok(Json::Other)
            }

            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Other)
            }
        }

        deserializer.deserialize_any(Any)
    }
}
