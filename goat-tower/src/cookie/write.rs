//! The `Set-Cookie` headers that goat writes (RFC 6265bis §4.1).
//!
//! Invariants: every cookie is `Secure`, `HttpOnly`, of the whole host and of nothing beyond it. Its value
//! is a token or nothing, so it brings no attribute of its own; and it is marked as sensitive, so that no
//! log of headers and no compression table shows it.

use std::time::Duration;

use goat_core::Error;
use http::header::{CACHE_CONTROL, SET_COOKIE};
use http::{HeaderMap, HeaderValue};

use super::SameSite;
use crate::request::bearer::is_b64token;
use crate::response::layer_order::layer_order_error;

/// The longest name and value together that a browser keeps, in bytes (RFC 6265bis §5.6). What is
/// longer it drops, and says nothing.
const MAX_LENGTH: usize = 4096;

/// A cookie that holds a token for as long as it is good.
pub(super) fn token(
    name: &'static str,
    same_site: SameSite,
    token: &str,
    life: Duration,
) -> Result<HeaderValue, Error> {
    if name.len() + token.len() > MAX_LENGTH {
        return Err(layer_order_error(
            "a token does not fit into a cookie, which holds 4096 bytes: leave the permissions out \
             of access tokens, with Settings { access_token_permissions: false, .. }",
        ));
    }
    cookie(name, same_site, token, life)
        .filter(|_| is_b64token(token.as_bytes()))
        .ok_or_else(|| layer_order_error("what was to be put into a cookie is no token"))
}

/// The attributes are those that a `__Host-` name asks for, and those that scripts and other sites are
/// kept out by.
pub(super) fn cookie(
    name: &str,
    same_site: SameSite,
    value: &str,
    life: Duration,
) -> Option<HeaderValue> {
    let (seconds, same_site) = (life.as_secs(), same_site.as_str());
    let text = format!(
        "{name}={value}; Max-Age={seconds}; Path=/; Secure; HttpOnly; SameSite={same_site}"
    );
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Adds cookies to an answer, which from then on is kept by no cache.
pub(super) fn append(cookies: impl IntoIterator<Item = HeaderValue>, headers: &mut HeaderMap) {
    for cookie in cookies {
        headers.append(SET_COOKIE, cookie);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}
