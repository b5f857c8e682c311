//! JWT payloads: names, types and order of the claims.
//!
//! Invariant: members are written in the order of the structs here, so that signing a refresh token
//! again gives the same bytes.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize};

use super::added::AddedClaims;
use super::claims::{AccessClaims, RefreshClaims};
use super::settings::TokenSettings;
use super::{refused, strict};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{SessionId, TokenId, UserId};
use crate::proof::Assurance;
use crate::user::{Attributes, Revisions};

/// The last second of the year 9999, the end of RFC 3339 dates.
const LAST_SECOND: u64 = 253_402_300_799;

/// The purpose of a token: the `typ` of its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// RFC 9068 §2.1.
    Access,
    /// goat's own type.
    Refresh,
    /// goat's own type.
    Device,
}

impl Kind {
    pub(super) fn typ(self) -> &'static str {
        match self {
            Self::Access => "at+jwt",
            Self::Refresh => "rt+jwt",
            Self::Device => "dt+jwt",
        }
    }
}

/// Encodes a header. No part of it needs escaping.
pub(super) fn header(algorithm: &str, kind: Kind, kid: &str) -> String {
    let typ = kind.typ();
    URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{algorithm}","typ":"{typ}","kid":"{kid}"}}"#))
}

/// Claims for writing.
#[derive(Serialize)]
struct Written<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: UserId,
    sid: SessionId,
    jti: TokenId,
    iat: i64,
    nbf: i64,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    amr: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rev: Option<(u64, u64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    goat_attributes: Option<&'a Attributes>,
    epoch: u64,
    #[serde(flatten)]
    added: Option<&'a AddedClaims>,
}

impl Written<'_> {
    fn json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self)
            .map_err(|_| Error::new(ErrorKind::Internal, "cannot write the claims of a token"))
    }
}

/// Encodes the payload of an access token.
pub(super) fn write_access(
    claims: &AccessClaims,
    added: Option<&AddedClaims>,
    settings: &TokenSettings,
) -> Result<Vec<u8>> {
    Written {
        iss: settings.issuer(),
        aud: settings.audience(),
        sub: claims.user,
        sid: claims.session,
        jti: claims.id,
        iat: claims.issued_at.as_seconds(),
        nbf: claims.issued_at.as_seconds(),
        exp: claims.expires_at.as_seconds(),
        client_id: Some(&claims.client_id),
        auth_time: Some(claims.authenticated_at.as_seconds()),
        amr: &claims.amr,
        acr: claims.acr.map(Assurance::as_str),
        rev: Some((claims.revisions.user, claims.revisions.roles)).filter(|rev| *rev != (0, 0)),
        permissions: claims.permissions.as_deref(),
        goat_attributes: Some(&claims.attributes).filter(|attributes| !attributes.is_empty()),
        epoch: claims.epoch,
        added,
    }
    .json()
}

/// Returns the text with which the payload of each access token begins.
pub(super) fn beginning_of_access(settings: &TokenSettings) -> String {
    let name = |text: &str| serde_json::Value::from(text).to_string();
    let (issuer, audience) = (name(settings.issuer()), name(settings.audience()));
    format!(r#"{{"iss":{issuer},"aud":{audience},"sub":""#)
}

/// Encodes the payload of a refresh token. Its audience is the issuer, so that a service that checks `aud`
/// but not `typ` does not take it for an access token (RFC 8725 §3.12).
pub(super) fn write_refresh(claims: &RefreshClaims, settings: &TokenSettings) -> Result<Vec<u8>> {
    Written {
        iss: settings.issuer(),
        aud: settings.issuer(),
        sub: claims.user,
        sid: claims.session,
        jti: claims.id,
        iat: claims.issued_at.as_seconds(),
        nbf: claims.issued_at.as_seconds(),
        exp: claims.expires_at.as_seconds(),
        client_id: None,
        auth_time: None,
        amr: &[],
        acr: None,
        rev: None,
        permissions: None,
        goat_attributes: None,
        epoch: claims.epoch,
        added: None,
    }
    .json()
}

/// Claims for reading. Unknown claims are ignored (RFC 7519 §4), so that newer nodes can add one.
#[derive(Deserialize)]
struct Read<'a> {
    #[serde(borrow)]
    iss: Cow<'a, str>,
    #[serde(borrow)]
    aud: Cow<'a, str>,
    sub: UserId,
    sid: SessionId,
    jti: TokenId,
    #[serde(deserialize_with = "instant")]
    iat: Timestamp,
    #[serde(deserialize_with = "instant")]
    nbf: Timestamp,
    #[serde(deserialize_with = "instant")]
    exp: Timestamp,
    #[serde(default, deserialize_with = "present")]
    client_id: Option<String>,
    #[serde(default, deserialize_with = "present_instant")]
    auth_time: Option<Timestamp>,
    #[serde(default)]
    amr: Vec<String>,
    #[serde(default, deserialize_with = "present")]
    acr: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "present")]
    rev: Option<(u64, u64)>,
    #[serde(default, deserialize_with = "present")]
    permissions: Option<Vec<String>>,
    #[serde(default)]
    goat_attributes: Attributes,
    #[serde(default, deserialize_with = "present")]
    epoch: Option<u64>,
}

/// Whole seconds since 1970 only: no sign, fraction, exponent or quotes.
pub(super) fn instant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    match u64::deserialize(deserializer)? {
        seconds @ 0..=LAST_SECOND => Ok(Timestamp::from_seconds(seconds.cast_signed())),
        _ => Err(serde::de::Error::custom("beyond the year 9999")),
    }
}

/// A member that may be absent, but not `null`.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A time that may be absent, but not `null`.
fn present_instant<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Timestamp>, D::Error> {
    instant(deserializer).map(Some)
}

/// The validity period of a token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Validity {
    pub(super) issued_at: Timestamp,
    pub(super) not_before: Timestamp,
    pub(super) expires_at: Timestamp,
}

impl Validity {
    /// Checks the validity at `now`; runs at every use of a token, also of a cached one.
    pub(super) fn check(&self, now: Timestamp, settings: &TokenSettings) -> Result<()> {
        let latest = now + settings.clock_leeway();
        if self.issued_at > latest || self.not_before > latest {
            return Err(refused("the token is not good yet"));
        }
        if self.expires_at <= now - settings.clock_leeway() {
            return Err(ErrorKind::TokenExpired.into());
        }
        Ok(())
    }
}

fn malformed() -> Error {
    refused("a claim is missing, duplicated or of the wrong type")
}

/// Parses a payload with a verified signature and checks all but the validity period.
fn read<'a>(
    json: &'a [u8],
    settings: &TokenSettings,
    audience: &str,
) -> Result<(Read<'a>, Validity)> {
    let claims: Read<'a> = strict::object(json, &[]).ok_or_else(malformed)?;
    if claims.iss != settings.issuer() {
        return Err(refused("the token is of another issuer"));
    }
    if claims.aud != audience {
        return Err(refused("the token is for another audience"));
    }
    if claims.exp <= claims.iat {
        return Err(refused("the token ends before it begins"));
    }
    let validity =
        Validity { issued_at: claims.iat, not_before: claims.nbf, expires_at: claims.exp };
    Ok((claims, validity))
}

/// Parses the payload of an access token.
pub(super) fn read_access(
    json: &[u8],
    settings: &TokenSettings,
) -> Result<(AccessClaims, Validity)> {
    let (claims, validity) = read(json, settings, settings.audience())?;
    let claims = AccessClaims {
        user: claims.sub,
        session: claims.sid,
        id: claims.jti,
        issued_at: claims.iat,
        expires_at: claims.exp,
        client_id: claims.client_id.filter(|id| !id.is_empty()).ok_or_else(malformed)?,
        authenticated_at: claims.auth_time.ok_or_else(malformed)?,
        amr: claims.amr,
        acr: claims.acr.as_deref().and_then(Assurance::parse),
        revisions: claims
            .rev
            .map_or_else(Revisions::default, |(user, roles)| Revisions { user, roles }),
        // A token without the claim is older than any replacement.
        epoch: claims.epoch.unwrap_or_default(),
        permissions: claims.permissions,
        attributes: claims.goat_attributes,
    };
    Ok((claims, validity))
}

/// Parses the payload of a refresh token.
pub(super) fn read_refresh(
    json: &[u8],
    settings: &TokenSettings,
) -> Result<(RefreshClaims, Validity)> {
    let (claims, validity) = read(json, settings, settings.issuer())?;
    if claims.permissions.is_some() {
        return Err(refused("a refresh token carries no permissions"));
    }
    let claims = RefreshClaims {
        user: claims.sub,
        session: claims.sid,
        id: claims.jti,
        epoch: claims.epoch.ok_or_else(malformed)?,
        issued_at: claims.iat,
        expires_at: claims.exp,
    };
    Ok((claims, validity))
}
