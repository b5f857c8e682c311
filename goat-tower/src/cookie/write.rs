//! The `Set-Cookie` headers that goat writes (RFC 6265bis §4.1).
//!
//! Invariants: every cookie is `Secure`, `HttpOnly` and bound to exactly one host. Its value is a
//! token or empty, so it cannot inject an attribute. The header value is marked sensitive, which
//! keeps it out of header logs and HPACK tables.

use std::time::Duration;

use goat_core::Error;
use http::header::{CACHE_CONTROL, SET_COOKIE};
use http::{HeaderMap, HeaderValue};

use super::SameSite;
use crate::request::bearer::is_b64token;
use crate::response::layer_order::layer_order_error;

/// The longest name plus value that browsers store, in bytes (RFC 6265bis §5.6). They silently drop
/// longer cookies.
const MAX_LENGTH: usize = 4096;

/// Formats a cookie that holds a token and expires with it.
pub(super) fn token(
    name: &'static str,
    same_site: SameSite,
    token: &str,
    ttl: Duration,
) -> Result<HeaderValue, Error> {
    if name.len() + token.len() > MAX_LENGTH {
        return Err(layer_order_error(
            "a token does not fit into a cookie, which holds 4096 bytes: leave the permissions out \
             of access tokens, with Settings { access_token_permissions: false, .. }",
        ));
    }
    if !is_b64token(token.as_bytes()) {
        return Err(layer_order_error("the value for the cookie is not a token"));
    }
    Ok(cookie(name, same_site, token, ttl))
}

/// Formats an empty cookie, which removes the browser's.
pub(super) fn expired(name: &'static str, same_site: SameSite) -> HeaderValue {
    cookie(name, same_site, "", Duration::ZERO)
}

/// Formats a cookie with the attributes that the `__Host-` prefix requires, and those that hide it
/// from scripts and other sites. Name and value consist of visible ASCII characters.
#[expect(clippy::expect_used, reason = "visible ASCII characters are a header's value")]
fn cookie(name: &'static str, same_site: SameSite, value: &str, ttl: Duration) -> HeaderValue {
    let (seconds, same_site) = (ttl.as_secs(), same_site.as_str());
    let text = format!(
        "{name}={value}; Max-Age={seconds}; Path=/; Secure; HttpOnly; SameSite={same_site}"
    );
    let mut value = HeaderValue::try_from(text).expect("a header's value");
    value.set_sensitive(true);
    value
}

/// Adds cookies to a response and forbids caches to store it.
pub(super) fn append(cookies: impl IntoIterator<Item = HeaderValue>, headers: &mut HeaderMap) {
    for cookie in cookies {
        headers.append(SET_COOKIE, cookie);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// As [`append`], except for the cookies that the response sets already: those of a logout in the same
/// request are newer.
pub(crate) fn append_missing(mut cookies: Vec<HeaderValue>, headers: &mut HeaderMap) {
    let name = |cookie: &HeaderValue| {
        let cookie = cookie.as_bytes();
        cookie.iter().take_while(|byte| **byte != b'=').copied().collect::<Vec<_>>()
    };
    let set: Vec<_> = headers.get_all(SET_COOKIE).iter().map(name).collect();
    cookies.retain(|cookie| !set.contains(&name(cookie)));
    append(cookies, headers);
}
