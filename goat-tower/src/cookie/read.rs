//! One cookie of a request, by its name.
//!
//! Invariants, after RFC 6265 §4.2 and §5.4: headers and pairs are taken apart at `;` and the first `=`
//! as bytes, and nothing but spaces and tabs is trimmed. So a name is what the browser took it for: no
//! quotes, escapes, other blanks or older forms of the header are read, by which a neighbour's cookie
//! could come to a name that the browser kept it from.

use http::HeaderMap;
use http::header::COOKIE;

use super::CookieError;
use crate::request::bearer::{MAX_LENGTH, is_b64token};

/// What there is of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    One(&'a [u8]),
    Several,
}

/// Looks in all `Cookie` headers, of which HTTP/2 may make several (RFC 9113 §8.2.3).
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
    /// The token, if it is one by its form.
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
