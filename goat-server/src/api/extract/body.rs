//! JSON request bodies, and the reading of any body.
//!
//! - The head is checked first: a media type that the body does not have, or any content coding, is 415, and a
//!   declared length over the limit is 413, before a byte of the body is read.
//! - The body is counted while it streams, regardless of the declared length (H2).
//! - Then the grammar is checked, then the members: 415, 413, 400, in this order.
//!
//! A route without this extractor does not read the body. The connection bounds or closes on the
//! rest.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use goat_core::Secret;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError};

use super::fields::{Fields, FromFieldsWith};
use super::json::Object;
use super::rejection::Rejection;

/// Maximum size of a body, in bytes.
pub const BODY_LIMIT: usize = 64 * 1024;

/// Extracts the request body as JSON, strictly.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

impl<T, S> FromRequest<S> for Json<T>
where
    T: FromFieldsWith<S>,
    S: Send + Sync,
{
    type Rejection = Rejection;

    async fn from_request(request: Request, state: &S) -> Result<Self, Rejection> {
        let (head, body) = request.into_parts();
        let declared = check(&head.headers, T::MEDIA_TYPES)?;
        let bytes = collect(body, declared).await?;
        let object = Object::parse(bytes.expose())?;
        Ok(Self(Fields::read_with(object, state)?))
    }
}

/// Checks the head, and returns the declared length.
pub(super) fn check(headers: &HeaderMap, media_types: &[&str]) -> Result<Option<usize>, Rejection> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    match (types.next(), types.next()) {
        (Some(value), None) if is_one_of(media_types, value) => {}
        _ => return Err(Rejection::MediaType),
    }
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(Rejection::ContentEncoding);
    }
    let Some(value) = headers.get(CONTENT_LENGTH) else { return Ok(None) };
    let digits = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let length = value.to_str().ok().filter(digits).ok_or(Rejection::BrokenBody)?;
    match length.parse() {
        Ok(length) if length <= BODY_LIMIT => Ok(Some(length)),
        // A length that overflows is too large as well.
        _ => Err(Rejection::TooLarge),
    }
}

/// Whether a value is one of the media types, alone or with `charset=utf-8` (RFC 9110 §8.3.1: names,
/// and this value, in any case; the value as a token or quoted).
fn is_one_of(media_types: &[&str], value: &HeaderValue) -> bool {
    let Ok(value) = value.to_str() else { return false };
    let (essence, parameter) = match value.split_once(';') {
        Some((essence, parameter)) => (essence, Some(parameter)),
        None => (value, None),
    };
    let is_utf8 = |parameter: &str| {
        let Some((name, value)) = trim(parameter).split_once('=') else { return false };
        let bare = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        name.eq_ignore_ascii_case("charset") && bare.unwrap_or(value).eq_ignore_ascii_case("utf-8")
    };
    media_types.iter().any(|allowed| trim(essence).eq_ignore_ascii_case(allowed))
        && parameter.is_none_or(is_utf8)
}

/// Trims the optional white space of HTTP (RFC 9110 §5.6.3), not that of Unicode.
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// Reads a body to its end, or to the limit.
pub(super) async fn collect(
    mut body: Body,
    declared: Option<usize>,
) -> Result<Secret<Vec<u8>>, Rejection> {
    if body.size_hint().lower() > BODY_LIMIT as u64 {
        return Err(Rejection::TooLarge);
    }
    let mut bytes = Vec::with_capacity(declared.unwrap_or(0));
    while let Some(frame) = body.frame().await {
        // Any other frame is trailers, which are ignored.
        let Ok(data) = frame.map_err(|error| broken(&error))?.into_data() else { continue };
        if data.len() > BODY_LIMIT - bytes.len() {
            return Err(Rejection::TooLarge);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Secret::new(bytes))
}

/// Distinguishes an application's own body limit from a broken connection.
fn broken(error: &(dyn std::error::Error + 'static)) -> Rejection {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    if causes.any(|cause| cause.is::<LengthLimitError>()) {
        Rejection::TooLarge
    } else {
        Rejection::BrokenBody
    }
}

#[cfg(test)]
mod tests;
