//! CSRF check: determines from the request's headers whether its origin is accepted.
//!
//! Invariants: a request whose origin is not known to be accepted is rejected. Scripts cannot set
//! any of the headers read here (they are forbidden request-header names of the Fetch standard),
//! and headers added by proxies are not read.

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use http::header::{HOST, ORIGIN, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderName};

pub(crate) const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Returns whether a request is exempt from the check: its method is safe and it opens no
/// WebSocket.
pub(super) fn is_harmless(request: &Parts) -> bool {
    request.method.is_safe() && !request.headers.contains_key(UPGRADE)
}

/// Returns whether a request is a navigation that may come from any site, such as a followed link.
pub(super) fn is_navigation(request: &Parts) -> bool {
    let mode = single(&request.headers, &SEC_FETCH_MODE);
    is_harmless(request) && matches!(mode, Ok(Some("navigate")))
}

/// Returns whether a request comes from its own origin, from an allowed origin, or from the user
/// directly (`Sec-Fetch-Site: none`, such as a typed address).
pub(super) fn is_accepted(request: &Parts, allowed: &[PageOrigin<'_>]) -> bool {
    let (Ok(site), Ok(origin)) =
        (single(&request.headers, &SEC_FETCH_SITE), single(&request.headers, &ORIGIN))
    else {
        return false;
    };
    let origin = origin.and_then(PageOrigin::parse);
    let is_allowed = || origin.as_ref().is_some_and(|origin| allowed.contains(origin));
    match site {
        Some("same-origin" | "none") => true,
        Some(_) => is_allowed(),
        None => is_allowed() || origin.as_ref().is_some_and(|origin| origin.is_own(request)),
    }
}

/// Logs the compared values. Behind a proxy that rewrites `Host` every request fails this check,
/// and only the log shows why. Values written by the client are quoted.
#[cfg(feature = "tracing")]
pub(super) fn log_rejection(request: &Parts) {
    let host = request.uri.authority().map(|authority| authority.as_str().as_bytes());
    let host = host.or_else(|| request.headers.get(HOST).map(|host| host.as_bytes()));
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    tracing::debug!(
        site = ?request.headers.get(SEC_FETCH_SITE).map(|site| text(site.as_bytes())),
        origin = ?request.headers.get(ORIGIN).map(|origin| text(origin.as_bytes())),
        host = ?host.map(text),
        "cross-site request rejected: its origin differs from its target; if the origin is the \
         application's own behind a proxy, add it with Cookies::allow_origin"
    );
}

/// A header that was sent twice or is not valid text.
struct Unclear;

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Unclear> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| Unclear),
        (Some(_), Some(_)) => Err(Unclear),
    }
}

/// Origin of a page that may use cookies (RFC 6454 §7): `https`, or `http` on loopback.
#[derive(Clone, Debug)]
pub(super) struct PageOrigin<'a> {
    is_https: bool,
    host: Cow<'a, str>,
    port: u16,
}

impl<'a> PageOrigin<'a> {
    /// Parses an origin as browsers serialize it; `None` for `null` and for anything else.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let (host, port) = host_and_port(rest)?;
        let is_https = match scheme {
            "https" => true,
            "http" if is_loopback(host) => false,
            _ => return None,
        };
        let port = port.unwrap_or(if is_https { 443 } else { 80 });
        Some(Self { is_https, host: Cow::Borrowed(host), port })
    }

    /// Returns whether this is the origin that the request is for. The request's scheme is ignored:
    /// behind a proxy it is the proxy's, and a page that may use cookies is served over https
    /// anyway.
    fn is_own(&self, request: &Parts) -> bool {
        // The authority of the target comes first (RFC 9112 §3.2.2, RFC 9113 §8.3.1).
        let target = match request.uri.authority() {
            Some(authority) => Some(authority.as_str()),
            None => single(&request.headers, &HOST).ok().flatten(),
        };
        let Some((host, port)) = target.and_then(host_and_port) else { return false };
        let port = port.unwrap_or(if self.is_https { 443 } else { 80 });
        port == self.port && host.eq_ignore_ascii_case(&self.host)
    }
}

impl PageOrigin<'static> {
    /// Parses an origin that the application allows.
    pub(super) fn parse_allowed(text: &str) -> Result<Self, InvalidOrigin> {
        match PageOrigin::parse(text) {
            Some(PageOrigin { is_https, host, port }) => {
                Ok(Self { is_https, host: Cow::Owned(host.into_owned()), port })
            }
            None => Err(InvalidOrigin { text: text.to_owned() }),
        }
    }
}

impl PartialEq<PageOrigin<'_>> for PageOrigin<'_> {
    fn eq(&self, other: &PageOrigin<'_>) -> bool {
        (self.is_https, self.port) == (other.is_https, other.port)
            && self.host.eq_ignore_ascii_case(&other.host)
    }
}

impl Eq for PageOrigin<'_> {}

/// Splits `host`, `host:port`, or the same with a bracketed IPv6 address; `None` for anything else,
/// such as a path or user information.
fn host_and_port(text: &str) -> Option<(&str, Option<u16>)> {
    let end = match text.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => text.find(':').unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at(end);
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            !host.is_empty() && host.bytes().all(plain)
        }
    };
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => None,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().ok()?)
        }
        _ => return None,
    };
    is_host.then_some((host, port))
}

/// Returns whether browsers treat plain `http` from this host as secure (Secure Contexts §3.1).
fn is_loopback(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    host == "localhost"
        || host.ends_with(".localhost")
        || host == "[::1]"
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

/// Error for an allowed origin that is neither `https` nor `http` on loopback, or not in the form in
/// which browsers serialize it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidOrigin {
    text: String,
}

impl fmt::Display for InvalidOrigin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "allowed origin {:?} is not https://host or https://host:port as browsers write it (http only \
             on loopback)",
            self.text
        )
    }
}

impl std::error::Error for InvalidOrigin {}
