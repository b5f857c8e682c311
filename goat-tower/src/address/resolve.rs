//! Resolution of the client's address from the peer and the headers, as a pure function.

use std::net::IpAddr;

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName};

use super::element::{self, NoAddress};
use super::{ClientAddress, TrustedProxies};

/// The one header that the trusted proxies write. The other one is ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`: a list of addresses, a de-facto standard.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl ForwardedHeader {
    /// Returns the header's name.
    #[must_use]
    pub fn name(self) -> HeaderName {
        match self {
            Self::XForwardedFor => HeaderName::from_static("x-forwarded-for"),
            Self::Forwarded => FORWARDED,
        }
    }
}

/// Source of a resolved address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Evidence {
    /// The connection: the header is missing or empty.
    Peer,
    /// The header, written by trusted proxies.
    Forwarded,
    /// The connection: the peer sent the header but is not a trusted proxy. The proxy may be
    /// missing from the configuration, or a client forges the header; worth one warning.
    Untrusted,
    /// The connection: a trusted proxy sent the header, but the element reached is not an address.
    Malformed,
}

/// Result of [`resolve`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Resolution {
    /// The client's address; `None` only if the peer is unknown too.
    pub address: Option<ClientAddress>,
    /// The source of the address.
    pub evidence: Evidence,
}

/// Resolves the client's address; see [the module](super) for the rules.
///
/// ```
/// use goat_tower::address::{Evidence, ForwardedHeader, TrustedProxies, resolve};
/// use http::{HeaderMap, HeaderValue};
///
/// let proxies = TrustedProxies::parse(["10.0.0.0/8"])?;
/// let mut headers = HeaderMap::new();
/// headers.insert("x-forwarded-for", HeaderValue::from_static("forged, 192.0.2.7, 10.0.0.2"));
///
/// let peer = Some("10.0.0.1".parse()?);
/// let found = resolve(&proxies, ForwardedHeader::XForwardedFor, peer, &headers);
/// assert_eq!(found.address.expect("known").to_string(), "192.0.2.7");
/// assert_eq!(found.evidence, Evidence::Forwarded);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn resolve(
    proxies: &TrustedProxies,
    header: ForwardedHeader,
    peer: Option<IpAddr>,
    headers: &HeaderMap,
) -> Resolution {
    let peer = peer.map(ClientAddress::new);
    let from_peer = |evidence| Resolution { address: peer, evidence };
    if !headers.contains_key(header.name()) {
        return from_peer(Evidence::Peer);
    }
    if !peer.is_some_and(|peer| proxies.contains(peer.ip())) {
        return from_peer(Evidence::Untrusted);
    }
    match forwarded(proxies, header, headers) {
        Ok(Some(client)) => {
            let address = Some(ClientAddress::new(client));
            Resolution { address, evidence: Evidence::Forwarded }
        }
        Ok(None) => from_peer(Evidence::Peer),
        Err(NoAddress) => from_peer(Evidence::Malformed),
    }
}

/// Returns the first address from the right that is not a trusted proxy's. If all are trusted,
/// returns the leftmost: a proxy is the client itself then. `None` if the header has no elements.
fn forwarded(
    proxies: &TrustedProxies,
    header: ForwardedHeader,
    headers: &HeaderMap,
) -> Result<Option<IpAddr>, NoAddress> {
    let mut client = None;
    for line in headers.get_all(header.name()).iter().rev() {
        let mut rest = Some(line.as_bytes());
        while let Some(line) = rest {
            let element;
            (rest, element) = element::split_last(line, header)?;
            // RFC 9110 §5.6.1: empty list elements are ignored.
            if element.is_empty() {
                continue;
            }
            let address = element::address(element, header)?;
            client = Some(address);
            if !proxies.contains(address) {
                return Ok(client);
            }
        }
    }
    Ok(client)
}
