//! Parser of the request's `Cookie` headers.
//!
//! Invariant (RFC 6265 §4.2 and §5.4): headers and pairs are split as bytes, at `;` and at the
//! first `=`, and only spaces and tabs are trimmed. The parser therefore sees the same names as the
//! browser. Quotes, escapes, other white space and obsolete header forms are not interpreted: they
//! could give a sibling domain's cookie a name that the browser had denied it.

use http::HeaderMap;
use http::header::COOKIE;

use super::CookieError;
use crate::request::bearer::{MAX_LENGTH, is_b64token};

/// The values found for one cookie name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    One(&'a [u8]),
    Several,
}

/// Searches all `Cookie` headers; HTTP/2 may split one into several (RFC 9113 §8.2.3).
pub(super) fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<Found<'a>> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|header| {
        header.as_bytes().split(|byte| *byte == b';').filter_map(|pair| {
            let equals = pair.iter().position(|byte| *byte == b'=')?;
            Some((trimmed(&pair[..equals]), trimmed(&pair[equals + 1..])))
        })
    });
    let mut values = pairs.filter(|(other, _)| *other == name.as_bytes()).map(|(_, value)| value);
    let first = values.next()?;
    Some(if values.next().is_none() { Found::One(first) } else { Found::Several })
}

fn trimmed(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

impl<'a> Found<'a> {
    /// Returns the value if it has the form of a token.
    pub(super) fn token(self) -> Result<&'a str, CookieError> {
        let Self::One(value) = self else { return Err(CookieError::Repeated) };
        if value.len() > MAX_LENGTH {
            return Err(CookieError::TooLong);
        }
        match std::str::from_utf8(value) {
            Ok(token) if is_b64token(value) => Ok(token),
            _ => Err(CookieError::Malformed),
        }
    }
}
