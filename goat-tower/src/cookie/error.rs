//! Why the cookies of a request are refused.

use std::fmt;

use goat_core::{Error, ErrorKind};
use http::StatusCode;

use crate::response::denial::Denial;
use crate::response::problem::Problem;

/// Why the cookies of a request are refused before the token in them is looked at.
///
/// Becomes the [`Problem`] or [`Denial`] that answers it; none of them shows anything of the cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CookieError {
    /// It comes from a page of another origin, or does not say from where. (403 `cross-site-request`)
    CrossSite,
    /// There is no such cookie. (401 `unauthenticated`)
    Missing,
    /// More than one cookie of the name: whose request would it be? (400 `bad-request`)
    Repeated,
    /// Over 8 KiB. (401 `invalid-token`)
    TooLong,
    /// What is in it has not the form of a token (RFC 6750 §2.1). (401 `invalid-token`)
    Malformed,
}

impl fmt::Display for CookieError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::CrossSite => "cookie in a request from another origin",
            Self::Missing => "no cookie",
            Self::Repeated => "more than one cookie of one name",
            Self::TooLong => "cookie over 8 KiB",
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
                    "A cookie does not count in a request from a page of another origin, or in one \
                     without Sec-Fetch-Site and Origin. Send it from a page of the same origin, or \
                     with the token in the Authorization header.",
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
