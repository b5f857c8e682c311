//! Rejections of the extractors: one type for path, query and body.
//!
//! The response is a problem document without the request's path and id, which the outer layer
//! adds. The [`Rejection`] stays in the response's extensions, for outer layers and the log.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use goat_core::{Error, ErrorKind, Violation};
use goat_tower::Problem;
use http::StatusCode;

use super::body::BODY_LIMIT;
use super::findings::Violations;
use super::json::Malformed;
use super::query::MOST_PARAMETERS;

/// Why a request could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The body is not declared as JSON in UTF-8.
    MediaType,
    /// The body is not declared as a form in UTF-8.
    FormMediaType,
    /// The body is declared as compressed or otherwise encoded.
    ContentEncoding,
    /// The body is longer than [`BODY_LIMIT`].
    TooLarge,
    /// The body ended early, or its framing is malformed.
    BrokenBody,
    /// The body is not one JSON object.
    Malformed(Malformed),
    /// The query has more parameters than any route reads.
    TooManyParameters,
    /// Path, query or body violate the rules.
    Invalid(Violations),
    /// The route lacks a parameter that its handler extracts: a defect of the server.
    Misrouted,
}

impl Rejection {
    /// Returns the status of the response.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::MediaType | Self::FormMediaType | Self::ContentEncoding => {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            }
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BrokenBody | Self::Malformed(_) | Self::TooManyParameters | Self::Invalid(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::Misrouted => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns the stable code of the error, as in problem documents, metrics and logs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::MediaType | Self::FormMediaType | Self::ContentEncoding => {
                "unsupported-media-type"
            }
            Self::TooLarge => "payload-too-large",
            Self::BrokenBody | Self::TooManyParameters => "bad-request",
            Self::Malformed(_) => "malformed-json",
            Self::Invalid(_) => ErrorKind::Invalid.code(),
            Self::Misrouted => ErrorKind::Internal.code(),
        }
    }

    /// Returns a short title, always the same for a code.
    const fn title(&self) -> &'static str {
        match self {
            Self::MediaType | Self::FormMediaType | Self::ContentEncoding => {
                "Unsupported media type"
            }
            Self::TooLarge => "Payload too large",
            Self::BrokenBody | Self::TooManyParameters => "Bad request",
            Self::Malformed(_) => "Malformed JSON",
            Self::Invalid(_) => "Invalid request",
            Self::Misrouted => "Internal server error",
        }
    }

    /// Returns a sentence for the client, without any value that was sent.
    #[must_use]
    pub fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::MediaType => {
                "The body must be JSON in UTF-8. Send it with `Content-Type: application/json`."
                    .into()
            }
            Self::FormMediaType => {
                "The body must be a form in UTF-8. Send it with `Content-Type: application/x-www-form-urlencoded`."
                    .into()
            }
            Self::ContentEncoding => {
                "The body must not be compressed. Send it without `Content-Encoding`.".into()
            }
            Self::TooLarge => {
                format!("The body is larger than {} KiB. Send a smaller one.", BODY_LIMIT / 1024)
                    .into()
            }
            Self::BrokenBody => "The body is incomplete. Send the request again.".into(),
            Self::Malformed(reason) => reason.to_string().into(),
            Self::TooManyParameters => {
                format!("The query has more than {MOST_PARAMETERS} parameters. Send fewer.").into()
            }
            Self::Invalid(_) => ErrorKind::Invalid.sentence().into(),
            Self::Misrouted => ErrorKind::Internal.sentence().into(),
        }
    }

    /// Returns the violations that are kept; empty except for [`Rejection::Invalid`].
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        match self {
            Self::Invalid(violations) => violations,
            _ => &[],
        }
    }
}

impl From<Malformed> for Rejection {
    fn from(reason: Malformed) -> Self {
        Self::Malformed(reason)
    }
}

impl From<Violations> for Rejection {
    fn from(violations: Violations) -> Self {
        Self::Invalid(violations)
    }
}

impl From<&Rejection> for Problem {
    fn from(rejection: &Rejection) -> Self {
        match rejection {
            // goat-core's error kinds have a response already.
            Rejection::Invalid(violations) => {
                let problem = Self::from(Error::invalid(violations.to_vec()));
                problem.with_omitted_violations(violations.omitted())
            }
            Rejection::Misrouted => ErrorKind::Internal.into(),
            _ => Self::new(
                rejection.status(),
                rejection.code(),
                rejection.title(),
                rejection.detail(),
            ),
        }
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let mut response = IntoResponse::into_response(Problem::from(&self));
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejections_have_documented_status_and_code() {
        let table = [
            (Rejection::MediaType, 415, "unsupported-media-type"),
            (Rejection::FormMediaType, 415, "unsupported-media-type"),
            (Rejection::ContentEncoding, 415, "unsupported-media-type"),
            (Rejection::TooLarge, 413, "payload-too-large"),
            (Rejection::BrokenBody, 400, "bad-request"),
            (Rejection::Malformed(Malformed::NotAnObject), 400, "malformed-json"),
            (Rejection::TooManyParameters, 400, "bad-request"),
            (Rejection::Invalid(Violations::default()), 400, "validation"),
            (Rejection::Misrouted, 500, "internal"),
        ];
        for (rejection, status, code) in table {
            assert_eq!((rejection.status().as_u16(), rejection.code()), (status, code));
            assert!(rejection.detail().ends_with('.'), "{}", rejection.detail());
            let response = rejection.clone().into_response();
            assert_eq!(response.status(), status);
            assert_eq!(response.extensions().get(), Some(&rejection));
            let problem = response.extensions().get::<Problem>().expect("a problem document");
            assert_eq!((problem.code(), problem.title()), (code, rejection.title()));
            assert_eq!(problem.detail(), rejection.detail());
        }
    }

    #[test]
    fn violations_are_exposed_for_the_document() {
        let violations = Violations::from(Violation::new("id", "must be a ULID"));
        assert_eq!(*Rejection::from(violations.clone()).violations(), *violations);
        assert!(Rejection::TooLarge.violations().is_empty());
    }
}
