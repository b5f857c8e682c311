//! Strict parsing of JWTs before any cryptography: three parts in canonical base64url, and a header
//! of the form that goat writes.
//!
//! Invariant: input that passes has exactly one interpretation. A duplicate member, or bits after
//! the last byte, which parsers could treat differently, are refused.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{MAX_TOKEN_BYTES, refused};
use crate::error::Result;

/// Maximum members of a JSON object; goat writes eleven. Bounds the search for duplicates, which an
/// unauthenticated client can trigger.
const MAX_MEMBERS: usize = 32;

/// Header parameters that demand more than a signature (`crit`, RFC 7515 §4.1.11), or contain or
/// locate a key. A token with one was not issued by goat.
const REFUSED_PARAMETERS: [&str; 5] = ["crit", "jku", "jwk", "x5u", "x5c"];

/// The parts of a token.
pub(super) struct Parts<'a> {
    /// The signed text: encoded header and payload.
    pub(super) message: &'a str,
    /// The signature in canonical base64url.
    pub(super) signature: &'a str,
    /// The header's JSON.
    pub(super) header: Vec<u8>,
    /// The payload's JSON; untrusted until the signature is verified.
    pub(super) payload: Vec<u8>,
}

/// The required header parameters. Others are ignored.
#[derive(Deserialize)]
pub(super) struct Header<'a> {
    #[serde(borrow)]
    pub(super) alg: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) typ: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) kid: Cow<'a, str>,
}

/// Refuses a token that is too long to parse.
pub(super) fn check_size(token: &str) -> Result<()> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(refused("the token is longer than 8 KiB"));
    }
    Ok(())
}

/// Splits a token into its parts (RFC 7515 §7.1).
pub(super) fn split(token: &str) -> Result<Parts<'_>> {
    let not_compact = || refused("the token does not have three parts");
    let (message, signature) = token.rsplit_once('.').ok_or_else(not_compact)?;
    let (header, payload) = message.split_once('.').ok_or_else(not_compact)?;
    if header.is_empty() || payload.is_empty() || signature.is_empty() || payload.contains('.') {
        return Err(not_compact());
    }
    decode(signature)?;
    Ok(Parts { message, signature, header: decode(header)?, payload: decode(payload)? })
}

/// Decodes base64url per RFC 7515 §2: no padding, no other alphabet, no line breaks, and no bits
/// after the last byte.
fn decode(part: &str) -> Result<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| refused("the token is not canonical base64url"))
}

/// Parses a header.
pub(super) fn header(json: &[u8]) -> Result<Header<'_>> {
    object(json, &REFUSED_PARAMETERS)
        .ok_or_else(|| refused("the header is not one that goat writes"))
}

/// Parses a JSON object without duplicate members, in any spelling, and without members named in
/// `refused`.
pub(super) fn object<'a, T: Deserialize<'a>>(json: &'a [u8], refused: &[&str]) -> Option<T> {
    let text = std::str::from_utf8(json).ok()?;
    let Members(members) = serde_json::from_str(text).ok()?;
    if members.iter().any(|member| refused.contains(&member.as_ref())) {
        return None;
    }
    serde_json::from_str(text).ok()
}

/// The names of an object's members, without duplicates.
struct Members<'a>(Vec<Cow<'a, str>>);

/// A member name, borrowed if it is written without escapes.
#[derive(Deserialize)]
struct Member<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut names = Vec::with_capacity(MAX_MEMBERS);
                while let Some(Member(name)) = map.next_key()? {
                    if names.len() == MAX_MEMBERS || names.contains(&name) {
                        return Err(serde::de::Error::custom("a member too many"));
                    }
                    names.push(name);
                    map.next_value::<IgnoredAny>()?;
                }
                Ok(Members(names))
            }
        }

        deserializer.deserialize_map(Names)
    }
}
