//! Bearer tokens (RFC 6750), from the `Authorization` header only.
//!
//! Invariants: a token is never read from the query or the body, nor from a cookie unless the application
//! enables that ([`crate::cookie`]). Anything but one short, well-formed credential is rejected here, before
//! any cryptography.

use std::fmt;

use goat_core::{Error, ErrorKind};
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// The maximum length of the `Authorization` value, or of a token cookie, in bytes.
pub(crate) const MAX_LENGTH: usize = 8 * 1024;

/// An `Authorization` header that is rejected before its token is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BearerError {
    /// More than one `Authorization` header, which two readers could interpret differently. (400 `bad-request`)
    Repeated,
    /// Over 8 KiB. (401 `invalid-token`)
    TooLong,
    /// The scheme is `Bearer`, without a well-formed token (RFC 6750 §2.1). (401 `invalid-token`)
    Malformed,
}

impl BearerError {
    /// Returns the corresponding error of goat; `None` for [`BearerError::Repeated`], which does not
    /// concern a token.
    #[must_use]
    pub fn to_error(self) -> Option<Error> {
        match self {
            Self::Repeated => None,
            Self::TooLong | Self::Malformed => {
                Some(Error::from(ErrorKind::InvalidToken).with_source(self))
            }
        }
    }
}

impl fmt::Display for BearerError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Repeated => "more than one authorization header",
            Self::TooLong => "authorization header over 8 KiB",
            Self::Malformed => "malformed bearer token",
        })
    }
}

impl std::error::Error for BearerError {}

/// Returns the bearer token of a request (RFC 6750 §2.1). The scheme is case-insensitive.
///
/// `None` means that the request has no bearer token: no `Authorization` header, or one with another
/// scheme, which may concern another component.
///
/// ```
/// use goat_tower::{BearerError, Denial, bearer};
/// use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
///
/// let mut headers = HeaderMap::new();
/// assert_eq!(bearer(&headers), Ok(None));
/// headers.insert(AUTHORIZATION, HeaderValue::from_static("bearer abc.def"));
/// assert_eq!(bearer(&headers), Ok(Some("abc.def")));
///
/// // The layers respond with:
/// headers.append(AUTHORIZATION, HeaderValue::from_static("bearer abc.def"));
/// assert_eq!(bearer(&headers), Err(BearerError::Repeated));
/// assert_eq!(Denial::from(BearerError::Repeated).problem().status(), 400);
/// assert_eq!(Denial::from(BearerError::Malformed).problem().status(), 401);
/// ```
///
/// # Errors
///
/// The header is repeated, over 8 KiB, or not a well-formed bearer token.
pub fn bearer(headers: &HeaderMap) -> Result<Option<&str>, BearerError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(BearerError::Repeated);
    }
    let value = value.as_bytes();
    if value.len() > MAX_LENGTH {
        return Err(BearerError::TooLong);
    }
    let (scheme, rest) = value.split_at(value.iter().take_while(|byte| is_tchar(**byte)).count());
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Ok(None);
    }
    let token = rest.trim_ascii_start();
    let spaces = &rest[..rest.len() - token.len()];
    if spaces.is_empty() || spaces.iter().any(|byte| *byte != b' ') || !is_b64token(token) {
        return Err(BearerError::Malformed);
    }
    std::str::from_utf8(token).map(Some).map_err(|_| BearerError::Malformed)
}

/// `tchar` of RFC 9110 §5.6.2, of which scheme names consist.
fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// RFC 6750 §2.1: `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`.
pub(crate) fn is_b64token(token: &[u8]) -> bool {
    let padding = token.iter().rev().take_while(|byte| **byte == b'=').count();
    let text = &token[..token.len() - padding];
    // No early exit, so that the compiler vectorizes the loop: stopping at the first invalid byte took a
    // fifth of the time of authentication.
    let is_text = |byte: u8| {
        byte.is_ascii_alphabetic()
            // `-`, `.`, `/` and the digits are adjacent.
            | (b'-'..=b'9').contains(&byte)
            | (byte == b'_')
            | (byte == b'~')
            | (byte == b'+')
    };
    !text.is_empty() & text.iter().fold(true, |all, byte| all & is_text(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn read(value: &[u8]) -> Result<Option<String>, BearerError> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_bytes(value).expect("a header's value"));
        bearer(&headers).map(|token| token.map(str::to_owned))
    }

    #[test]
    fn scheme_is_case_insensitive_and_token_is_not() {
        for good in ["Bearer aB.c-_~+/9", "bearer aB.c-_~+/9", "BEARER   aB.c-_~+/9"] {
            assert_eq!(read(good.as_bytes()), Ok(Some("aB.c-_~+/9".to_owned())), "{good}");
        }
        assert_eq!(read(b"Bearer abc=="), Ok(Some("abc==".to_owned())));
    }

    #[test]
    fn token_consists_of_the_characters_of_rfc_6750() {
        for byte in 0..=u8::MAX {
            let allowed = byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
            let long = [b"aA0", [byte].as_slice(), b"z9_", &[b'a'; 40]].concat();
            assert_eq!(is_b64token(&[byte]), allowed, "{byte}");
            assert_eq!(is_b64token(&long), allowed, "{byte}");
        }
        assert!(!is_b64token(b"") && !is_b64token(b"=") && is_b64token(b"a=="));
    }

    #[test]
    fn other_schemes_are_not_bearer_tokens() {
        for other in
            ["", "Basic YTpi", "Bearers abc", "BearerX", "Bear abc", "DPoP abc", ",Bearer a"]
        {
            assert_eq!(read(other.as_bytes()), Ok(None), "{other}");
        }
    }

    /// J8
    #[test]
    fn malformed_bearer_token_is_rejected() {
        for bad in [
            &b"Bearer"[..],
            b"Bearer ",
            b"Bearer    ",
            b"Bearer\tabc",
            b"Bearer \tabc",
            b"Bearer a b",
            b"Bearer abc ",
            b"Bearer a,Bearer b",
            b"Bearer,abc",
            b"Bearer \"abc\"",
            b"Bearer =",
            b"Bearer a=b",
            b"Bearer abc%41",
            b"Bearer token=abc",
            b"Bearer abc\xff",
            b"Bearer \xc3\xb6",
            b"Bearer=abc",
        ] {
            assert_eq!(read(bad), Err(BearerError::Malformed), "{}", bad.escape_ascii());
        }
    }

    /// J8
    #[test]
    fn value_over_8_kib_is_rejected() {
        let token = |length: usize| [b"Bearer ".to_vec(), vec![b'a'; length - 7]].concat();
        assert!(read(&token(8192)).is_ok());
        assert_eq!(read(&token(8193)), Err(BearerError::TooLong));
        assert_eq!(read(&[b' '; 9000]), Err(BearerError::TooLong));
        assert_eq!(read(&[b'x'; 9000]), Err(BearerError::TooLong));
    }

    /// J8
    #[test]
    fn repeated_header_is_rejected_even_if_equal_or_of_another_scheme() {
        for (one, two) in [("Bearer a", "Bearer a"), ("Basic a", "Bearer a"), ("", "")] {
            let mut headers = HeaderMap::new();
            headers.append(AUTHORIZATION, HeaderValue::from_static(one));
            headers.append(AUTHORIZATION, HeaderValue::from_static(two));
            assert_eq!(bearer(&headers), Err(BearerError::Repeated));
        }
    }

    proptest! {
        #[test]
        fn arbitrary_value_yields_a_token_or_an_error(value in prop::collection::vec(any::<u8>(), 0..40)) {
            let Ok(value) = HeaderValue::from_bytes(&[b"Bearer ".to_vec(), value].concat()) else {
                return Ok(());
            };
            if let Ok(token) = read(value.as_bytes()) {
                let token = token.expect("the scheme is Bearer");
                prop_assert!(is_b64token(token.as_bytes()));
                prop_assert!(value.as_bytes().ends_with(token.as_bytes()));
            }
        }
    }
}
