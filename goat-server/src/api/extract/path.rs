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

use super::findings::Violations;
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
        let parameter = parameters(parts).next().ok_or(Rejection::Misrouted)?;
        id(parameter).map(Self).map_err(|violation| Rejection::Invalid(violation.into()))
    }
}

/// Extracts the last two parameters of the route as ids, as [`Id`] does with one.
#[derive(Clone, Copy, Debug)]
pub struct Ids<A, B>(pub A, pub B);

impl<A, B, S> FromRequestParts<S> for Ids<A, B>
where
    A: FromStr<Err = InvalidId>,
    B: FromStr<Err = InvalidId>,
    S: Send + Sync,
{
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        let mut parameters = parameters(parts);
        let (last, first) = parameters.next().zip(parameters.next()).ok_or(Rejection::Misrouted)?;
        let mut violations = Violations::default();
        let first = id(first).map_err(|violation| violations.add(|| violation));
        let last = id(last).map_err(|violation| violations.add(|| violation));
        match (first, last) {
            (Ok(first), Ok(last)) => Ok(Self(first, last)),
            _ => Err(Rejection::Invalid(violations)),
        }
    }
}

/// Parses the id in the place of a parameter.
fn id<T: FromStr<Err = InvalidId>>((name, text): (&str, &str)) -> Result<T, Violation> {
    text.parse().map_err(|invalid: InvalidId| Violation::new(name.to_owned(), invalid.to_string()))
}

/// Extracts the last parameter of the route as it was sent, for names that are not ids.
///
/// An escape is a violation under the parameter's name: it would be a second spelling.
#[derive(Clone, Debug)]
pub struct Segment(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        let (name, text) = parameters(parts).next().ok_or(Rejection::Misrouted)?;
        if text.contains('%') {
            let message = "must not be percent-encoded";
            return Err(Rejection::Invalid(Violation::new(name.to_owned(), message).into()));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Returns the names of the parameters in the route, and the segments in their places, the last one first.
///
/// Both are counted from the end: a nested router sees a shorter path than the matched one.
fn parameters(parts: &Parts) -> impl Iterator<Item = (&str, &str)> {
    let template = PathTemplate::of(&parts.extensions).unwrap_or_default();
    template.rsplit('/').zip(parts.uri.path().rsplit('/')).filter_map(|(name, text)| {
        let name = name.strip_prefix('{')?.strip_suffix('}')?;
        // `{*rest}` matches several segments.
        (!name.starts_with('*')).then_some((name, text))
    })
}

#[cfg(test)]
mod tests;
