//! Who the client is, out of the peer and the headers: one pure function.

use std::net::IpAddr;

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName};

use super::element::{self, NoAddress};
use super::{ClientAddress, TrustedProxies};

/// The one header in which the trusted proxies say whom they heard from. The other is ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`: a list of addresses, by habit rather than by a standard.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl ForwardedHeader {
    /// The name of the header.
    #[must_use]
    pub fn name(self) -> HeaderName {
        match self {
            Self::XForwardedFor => HeaderName::from_static("x-forwarded-for"),
            Self::Forwarded => FORWARDED,
        }
    }
}

/// On what an address rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Evidence {
    /// On the connection: there was no header to read.
    Peer,
    /// On the word of trusted proxies.
    Forwarded,
    /// On the connection: the peer sent the header and is not a trusted proxy. A proxy that was
    /// forgotten in the configuration looks like this, and so does a client that lies: worth a
    /// warning, once.
    Untrusted,
    /// On the connection: a trusted proxy sent the header, and what was reached in it is no
    /// address.
    Malformed,
}

/// What [`resolve`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Resolution {
    /// The client, unless not even the peer is known.
    pub address: Option<ClientAddress>,
    /// On what that rests.
    pub evidence: Evidence,
}

/// Finds the client's address; see [the module](super) for the rules.
///
/// ```
/// use goat_tower::address::{Evidence, ForwardedHeader, TrustedProxies, resolve};
/// use http::{HeaderMap, HeaderValue};
///
/// let proxies = TrustedProxies::parse(["10.0.0.0/8"])?;
/// let mut headers = HeaderMap::new();
/// headers.insert("x-forwarded-for", HeaderValue::from_static("lies, 192.0.2.7, 10.0.0.2"));
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
    let by_connection = |evidence| Resolution { address: peer, evidence };
    if !headers.contains_key(header.name()) {
        return by_connection(Evidence::Peer);
    }
    if !peer.is_some_and(|peer| proxies.contains(peer.ip())) {
        return by_connection(Evidence::Untrusted);
    }
    match forwarded(proxies, header, headers) {
        Ok(Some(client)) => {
            let address = Some(ClientAddress::new(client));
            Resolution { address, evidence: Evidence::Forwarded }
        }
        Ok(None) => by_connection(Evidence::Peer),
        Err(NoAddress) => by_connection(Evidence::Malformed),
    }
}

/// The first address from the right that is not a trusted proxy's. If all are, the last one
/// reached: a proxy is the client itself then. `None` if the header names nobody.
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
            // RFC 9110 §5.6.1: an empty element of a list counts for nothing.
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
