//! Outcome of a request, derived from its response.
//!
//! Invariant: for a response without its extensions, only its headers are used.

use std::borrow::Cow;
use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use goat_core::ErrorKind;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use crate::response::denial::Denial;
use crate::response::grpc;
use crate::response::problem::Problem;

/// The rejections that headers alone can tell apart.
const FROM_HEADERS: [ErrorKind; 7] = [
    ErrorKind::Unauthenticated,
    ErrorKind::InvalidToken,
    ErrorKind::TokenExpired,
    ErrorKind::SessionRevoked,
    ErrorKind::Forbidden,
    ErrorKind::RateLimited,
    ErrorKind::Unavailable,
];

/// Where the outcome was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// The [`Denial`] in the extensions.
    Denial,
    /// The [`Problem`] in the extensions: a handler's own.
    Problem,
    /// The headers alone.
    Headers,
}

/// Outcome of a request.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    status: StatusCode,
    source: Source,
    code: Option<&'static str>,
    detail: Option<String>,
    challenge: Option<String>,
    retry_after: Option<u64>,
    grpc_status: Option<String>,
    cause: Option<String>,
}

impl Outcome {
    pub(super) fn of<B>(response: &Response<B>) -> Self {
        let (headers, extensions) = (response.headers(), response.extensions());
        let denial = extensions.get::<Denial>();
        let problem = denial.map(Denial::problem).or_else(|| extensions.get::<Problem>());
        let mut outcome = Self {
            status: response.status(),
            source: Source::Headers,
            code: None,
            detail: None,
            challenge: challenge(headers),
            retry_after: retry_after(headers),
            grpc_status: text(headers, "grpc-status").map(str::to_owned),
            cause: denial.and_then(Denial::error).and_then(cause),
        };
        match problem {
            Some(problem) => {
                outcome.source = if denial.is_some() { Source::Denial } else { Source::Problem };
                outcome.code = Some(problem.code());
                outcome.detail = Some(problem.detail().to_owned());
                // Independent of the rendered form, and for gRPC, which has no challenge.
                let whole = problem.clone().into_response();
                outcome.challenge = challenge(whole.headers());
                outcome.retry_after = outcome.retry_after.or(retry_after(whole.headers()));
            }
            None => {
                let kind =
                    FROM_HEADERS.into_iter().find(|kind| matches_kind(headers, &outcome, *kind));
                outcome.code = kind.map(ErrorKind::code);
            }
        }
        outcome
    }

    /// Returns the stable code of the rejection, if source.
    pub(super) fn code(&self) -> Option<&'static str> {
        self.code.filter(|_| self.is_rejection())
    }

    /// Returns whether goat, or a handler with one of goat's statuses, rejected the request.
    pub(super) fn is_rejection(&self) -> bool {
        match self.source {
            Source::Denial => true,
            Source::Problem | Source::Headers => match self.grpc_status.as_deref() {
                Some(status) => matches!(status, "7" | "8" | "14" | "16"),
                None => matches!(self.status.as_u16(), 401 | 403 | 429 | 503),
            },
        }
    }

    /// Returns the permissions named by the challenge.
    pub(super) fn scope(&self) -> &str {
        self.challenge.as_deref().and_then(split_scope).map_or("", |(_, scope)| scope)
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.retry_after.map(Duration::from_secs)
    }
}

/// The text shown when an assertion fails.
impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.status.as_u16())?;
        if let Some(status) = &self.grpc_status {
            write!(formatter, " (grpc-status {status})")?;
        }
        match self.code {
            Some(code) => write!(formatter, " {code}")?,
            None if self.is_rejection() => formatter.write_str(", for an unknown reason")?,
            None => formatter.write_str(", not rejected by goat")?,
        }
        if let Some(detail) = &self.detail {
            write!(formatter, ": {detail}")?;
        }
        if let Some(challenge) = &self.challenge {
            write!(formatter, "\n  challenge: {challenge}")?;
        }
        if let Some(seconds) = self.retry_after {
            write!(formatter, "\n  retry after: {seconds} s")?;
        }
        if let Some(cause) = &self.cause {
            write!(formatter, "\n  for the log: {cause}")?;
        }
        match self.source {
            Source::Denial => Ok(()),
            Source::Problem => formatter.write_str(
                "\n  source: the Problem in the extensions; no layer rejected the request",
            ),
            Source::Headers if self.is_rejection() => formatter.write_str(
                "\n  source: the headers; the extensions have no Denial, so either goat did not \
                 reject the request, or the extensions were lost on the way",
            ),
            Source::Headers => Ok(()),
        }
    }
}

/// Returns the error's chain of sources, which the log contains and the client does not receive.
fn cause(error: &goat_core::Error) -> Option<String> {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    (text != error.kind().code()).then_some(text)
}

/// Returns whether the headers are those of a denial of this kind, in one of goat's forms.
fn matches_kind(headers: &HeaderMap, outcome: &Outcome, kind: ErrorKind) -> bool {
    let problem = Problem::from(kind);
    if outcome.grpc_status.is_some() {
        let expected = grpc::trailers_only(&problem, HeaderValue::from_static("application/grpc"));
        let same = |name| headers.get(name) == expected.headers().get(name);
        // Unavailable has several messages.
        return same("grpc-status") && (same("grpc-message") || kind == ErrorKind::Unavailable);
    }
    let expected = problem.into_response();
    let without_scope = |challenge: Option<String>| {
        challenge.map(|text| match split_scope(&text) {
            Some((before, _)) => before.to_owned(),
            None => text,
        })
    };
    outcome.status == expected.status()
        && text(headers, CONTENT_TYPE.as_str()) == Some("application/problem+json")
        && without_scope(outcome.challenge.clone()) == challenge(expected.headers())
}

/// Returns the RFC 6750 challenge, among any number of challenges.
fn challenge(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|it| it.to_str().ok());
    values.find(|value| value.starts_with("Bearer")).map(str::to_owned)
}

/// Splits a challenge into the part before its scope, and the scope.
fn split_scope(challenge: &str) -> Option<(&str, &str)> {
    let (before, scope) = challenge.split_once(r#", scope=""#)?;
    Some((before, scope.split_once('"').map_or(scope, |(scope, _)| scope)))
}

fn retry_after(headers: &HeaderMap) -> Option<u64> {
    text(headers, RETRY_AFTER.as_str())?.parse().ok()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Returns the code of a kind; several kinds may share one.
pub(super) fn code_of(kind: ErrorKind) -> Cow<'static, str> {
    Problem::from(kind).code().into()
}
