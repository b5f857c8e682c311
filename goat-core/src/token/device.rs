//! Payload of device tokens.
//!
//! The audience is the issuer: no service accepts the token, also if it does not check the type.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::claims::DeviceClaims;
use super::settings::TokenSettings;
use super::wire::{Validity, instant};
use super::{refused, strict};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{TokenId, UserId};

/// Claims for writing.
#[derive(Serialize)]
struct Written<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: UserId,
    jti: TokenId,
    iat: i64,
    nbf: i64,
    exp: i64,
}

/// Claims for reading. Unknown claims are ignored, as in other tokens.
#[derive(Deserialize)]
struct Read<'a> {
    #[serde(borrow)]
    iss: Cow<'a, str>,
    #[serde(borrow)]
    aud: Cow<'a, str>,
    sub: UserId,
    jti: TokenId,
    #[serde(deserialize_with = "instant")]
    iat: Timestamp,
    #[serde(deserialize_with = "instant")]
    nbf: Timestamp,
    #[serde(deserialize_with = "instant")]
    exp: Timestamp,
}

/// Encodes the payload of a device token.
pub(super) fn write(claims: &DeviceClaims, settings: &TokenSettings) -> Result<Vec<u8>> {
    let written = Written {
        iss: settings.issuer(),
        aud: settings.issuer(),
        sub: claims.user,
        jti: claims.id,
        iat: claims.issued_at.as_seconds(),
        nbf: claims.issued_at.as_seconds(),
        exp: claims.expires_at.as_seconds(),
    };
    serde_json::to_vec(&written)
        .map_err(|_| Error::new(ErrorKind::Internal, "cannot write the claims of a token"))
}

/// Parses the payload of a device token with a verified signature.
pub(super) fn read(json: &[u8], settings: &TokenSettings) -> Result<(DeviceClaims, Validity)> {
    let claims: Read<'_> = strict::object(json, &[])
        .ok_or_else(|| refused("a claim is missing, duplicated or of the wrong type"))?;
    if claims.iss != settings.issuer() || claims.aud != settings.issuer() {
        return Err(refused("the token is of another issuer"));
    }
    if claims.exp <= claims.iat {
        return Err(refused("the token ends before it begins"));
    }
    let validity =
        Validity { issued_at: claims.iat, not_before: claims.nbf, expires_at: claims.exp };
    let claims = DeviceClaims {
        user: claims.sub,
        id: claims.jti,
        issued_at: claims.iat,
        expires_at: claims.exp,
    };
    Ok((claims, validity))
}
