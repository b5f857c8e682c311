//! Canonical paths: one spelling for each resource.
//!
//! - A path that a proxy, a filter or a log may interpret differently from the router (`//`, dot
//!   segments, encoded dots and slashes, a trailing slash) is a 404, never a redirect (A5).
//! - A segment is compared as it was sent and never decoded, so an escape cannot spell an id.

use std::str::FromStr;

use axum::extract::FromRequestParts;
use goat_core::{InvalidId, Violation};
use goat_tower::PathTemplate;
use http::request::Parts;

use super::rejection::Rejection;

/// Whether a path, as it was sent, is the canonical spelling of its resource.
///
/// The router compares paths as they were sent, so an escape in a fixed segment matches nothing;
/// but a parameter matches any segment, also `..`. Check this in front of the router, and respond
/// with 404 if it fails.
///
/// ```
/// use goat_server::api::extract::path_is_canonical;
///
/// assert!(path_is_canonical("/.well-known/jwks.json"));
/// assert!(!path_is_canonical("/api/v1/user/%2e%2E"));
/// assert!(!path_is_canonical("/api/v1/user/"));
/// ```
#[must_use]
pub fn path_is_canonical(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else { return false };
    rest.is_empty()
        || !has_encoded_dot_or_slash(rest)
            && rest.split('/').all(|segment| !matches!(segment, "" | "." | ".."))
}

/// Whether a path contains `%2e` or `%2f`, in any case.
fn has_encoded_dot_or_slash(path: &str) -> bool {
    path.as_bytes().windows(3).any(|three| matches!(three, [b'%', b'2', b'e' | b'E' | b'f' | b'F']))
}

/// Extracts the last parameter of the route as an id in its canonical form.
///
/// Any other value is a violation under the parameter's name in the route (`id` of `/user/{id}`),
/// also an escape that would decode to an id.
#[derive(Clone, Copy, Debug)]
pub struct Id<T>(pub T);

impl<T, S> FromRequestParts<S> for Id<T>
where
    T: FromStr<Err = InvalidId>,
    S: Send + Sync,
{
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        let (name, text) = last_parameter(parts).ok_or(Rejection::Misrouted)?;
        text.parse().map(Self).map_err(|invalid: InvalidId| {
            Rejection::Invalid(Violation::new(name.to_owned(), invalid.to_string()).into())
        })
    }
}

/// Extracts the last parameter of the route as it was sent, for names that are not ids.
///
/// An escape is a violation under the parameter's name: it would be a second spelling.
#[derive(Clone, Debug)]
pub struct Segment(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        let (name, text) = last_parameter(parts).ok_or(Rejection::Misrouted)?;
        if text.contains('%') {
            let message = "must not be percent-encoded";
            return Err(Rejection::Invalid(Violation::new(name.to_owned(), message).into()));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Returns the name of the last parameter in the route, and the segment in its place.
///
/// Both are counted from the end: a nested router sees a shorter path than the matched one.
fn last_parameter(parts: &Parts) -> Option<(&str, &str)> {
    let template = PathTemplate::of(&parts.extensions)?;
    template.rsplit('/').zip(parts.uri.path().rsplit('/')).find_map(|(name, text)| {
        let name = name.strip_prefix('{')?.strip_suffix('}')?;
        // `{*rest}` matches several segments.
        (!name.starts_with('*')).then_some((name, text))
    })
}

#[cfg(test)]
mod tests;
