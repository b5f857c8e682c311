//! Errors of cookie authentication.

use std::fmt;

use goat_core::{Error, ErrorKind};
use http::StatusCode;

use crate::response::denial::Denial;
use crate::response::problem::Problem;

/// Reason for which a request's cookies are rejected before the token in them is verified.
///
/// Converts into the [`Problem`] or [`Denial`] to respond with; neither contains any part of the
/// cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CookieError {
    /// The request comes from a page of another origin, or does not name its origin. (403
    /// `cross-site-request`)
    CrossSite,
    /// The cookie is missing. (401 `unauthenticated`)
    Missing,
    /// The request has more than one cookie of this name. (400 `bad-request`)
    Repeated,
    /// The value is longer than 8 KiB. (401 `invalid-token`)
    TooLong,
    /// The value does not have the form of a token (RFC 6750 §2.1). (401 `invalid-token`)
    Malformed,
}

impl fmt::Display for CookieError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::CrossSite => "cookie in a cross-site request",
            Self::Missing => "cookie is missing",
            Self::Repeated => "more than one cookie of the same name",
            Self::TooLong => "cookie is longer than 8 KiB",
            Self::Malformed => "malformed token in a cookie",
        })
    }
}

impl std::error::Error for CookieError {}

impl From<CookieError> for Problem {
    fn from(error: CookieError) -> Self {
        let kind = match error {
            CookieError::CrossSite => {
                return Self::new(
                    StatusCode::FORBIDDEN,
                    "cross-site-request",
                    "Cross-site request",
                    "Cookies are not accepted from a page of another origin, or without the \
                     Sec-Fetch-Site and Origin headers. Send the request from a page of the same \
                     origin, or send the token in the Authorization header.",
                );
            }
            CookieError::Repeated => {
                return Self::new(
                    StatusCode::BAD_REQUEST,
                    "bad-request",
                    "Bad request",
                    "The request has more than one cookie of the same name. Send only one.",
                );
            }
            CookieError::Missing => ErrorKind::Unauthenticated,
            CookieError::TooLong | CookieError::Malformed => ErrorKind::InvalidToken,
        };
        Error::from(kind).with_source(error).into()
    }
}

impl From<CookieError> for Denial {
    fn from(error: CookieError) -> Self {
        Self::because(error.into())
    }
}
