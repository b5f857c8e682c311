//! From which origin a request comes, by what the browser says of it.
//!
//! Invariants: what is not known to be accepted is refused. Scripts can set none of the headers that
//! are read here (they are forbidden names of the Fetch standard), and no proxy's word is taken.

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use http::header::{HOST, ORIGIN, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderName};

pub(crate) const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether a request changes nothing, whoever's page makes it: a safe method that opens no WebSocket.
pub(super) fn is_harmless(request: &Parts) -> bool {
    request.method.is_safe() && !request.headers.contains_key(UPGRADE)
}

/// Whether a request comes from its own origin, from one of those that are allowed, or from the user.
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

/// Says in the log what was refused and what it was compared with: behind a proxy that changes `Host`
/// that is everybody, and nobody else can see why. What a client wrote is quoted.
#[cfg(feature = "tracing")]
pub(super) fn tell_refused(request: &Parts) {
    let host = request.uri.authority().map(|authority| authority.as_str().as_bytes());
    let host = host.or_else(|| request.headers.get(HOST).map(|host| host.as_bytes()));
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    tracing::debug!(
        site = ?request.headers.get(SEC_FETCH_SITE).map(|site| text(site.as_bytes())),
        origin = ?request.headers.get(ORIGIN).map(|origin| text(origin.as_bytes())),
        host = ?host.map(text),
        "a cookie did not count, since its request comes from another origin than it is for; if that \
         is the application's own behind a proxy, allow_origin(..) it"
    );
}

/// A header that was sent twice, or is no text.
struct Unclear;

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Unclear> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| Unclear),
        (Some(_), Some(_)) => Err(Unclear),
    }
}

/// The origin of a page that may keep cookies (RFC 6454 §7): `https`, or `http` on the loopback.
#[derive(Clone, Debug)]
pub(super) struct PageOrigin<'a> {
    is_https: bool,
    host: Cow<'a, str>,
    port: u16,
}

impl<'a> PageOrigin<'a> {
    /// What browsers write; `None` for `null` and for what is no such origin.
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

    /// Whether it is the one that a request is for. Its scheme is not asked for: behind a proxy it is
    /// the proxy's. That of a page that may keep cookies is https anyway.
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
    /// One that an application allows.
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

/// Takes `host`, `host:port`, or the same of an IPv6 address in brackets apart; `None` for anything
/// else, such as a path or a user before the host.
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

/// The hosts from which browsers take `http` for secure (Secure Contexts §3.1).
fn is_loopback(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    host == "localhost"
        || host.ends_with(".localhost")
        || host == "[::1]"
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

/// What is not an origin whose pages may use cookies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidOrigin {
    text: String,
}

impl fmt::Display for InvalidOrigin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "allowed origin {:?} is not https://host or https://host:port as browsers write it",
            self.text
        )
    }
}

impl std::error::Error for InvalidOrigin {}
