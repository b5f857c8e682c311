//! The client's address: the connection's peer, or the address that a trusted proxy forwards.
//!
//! - Without trusted proxies the address is the peer's, and forwarding headers are ignored.
//! - If the peer is a trusted proxy, the one configured header is read from right to left, several
//!   lines as one list. The first address that is not a trusted proxy's is the client's. Everything
//!   to the left of it is unverified and not even parsed.
//! - If the element reached is not an address (malformed, `unknown`, or an obfuscated identifier
//!   such as `_edge`), the client is the peer. Host names count as malformed; nothing is resolved
//!   through DNS.
//! - An IPv4-mapped IPv6 address (`::ffff:192.0.2.1`) is the IPv4 address, and so is a NAT64 address
//!   (`64:ff9b::192.0.2.1`), for clients and proxies alike.
//!
//! ```
//! use std::net::SocketAddr;
//! use goat_tower::address::{ClientAddress, ClientAddressLayer, PeerAddress, TrustedProxies};
//! use http::Request;
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let layer = ClientAddressLayer::new().trust(TrustedProxies::parse(["10.0.0.0/8"])?);
//! let service = layer.layer(service_fn(async |request: Request<()>| {
//!     Ok::<_, std::convert::Infallible>(ClientAddress::of(request.extensions()))
//! }));
//!
//! let request = |peer: &str| {
//!     Request::builder()
//!         .header("x-forwarded-for", "198.51.100.1, 192.0.2.7")
//!         .extension(PeerAddress(SocketAddr::new(peer.parse().unwrap(), 4711)))
//!         .body(())
//!         .unwrap()
//! };
//! // From a trusted proxy: the address that it appended; the client's own entry is ignored.
//! let client = service.clone().oneshot(request("10.0.0.1")).await?.expect("a client");
//! assert_eq!(client.to_string(), "192.0.2.7");
//! // From any other peer: the peer's address.
//! let client = service.oneshot(request("203.0.113.9")).await?.expect("a client");
//! assert_eq!(client.to_string(), "203.0.113.9");
//! # Ok::<_, Box<dyn std::error::Error>>(()) }).unwrap();
//! ```

mod element;
mod layer;
mod proxies;
mod range;
mod resolve;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use goat_core::limit::canonical_address;

use http::Extensions;

pub use layer::{ClientAddressLayer, ClientAddressService};
pub use proxies::{InvalidProxy, TrustedProxies};
pub use resolve::{Evidence, ForwardedHeader, Resolution, resolve};

/// The client's address, as [`ClientAddressLayer`] found it and stored it in the request's
/// extensions. Never an IPv4-mapped or NAT64 IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddress(IpAddr);

impl ClientAddress {
    /// Wraps an address that is known by other means.
    #[must_use]
    pub fn new(address: IpAddr) -> Self {
        Self(canonical_address(address))
    }

    /// Returns the address of a request's client: the one that [`ClientAddressLayer`] stored, or
    /// else the [peer's](PeerAddress::of), which is also the layer's result without trusted
    /// proxies.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<Self> {
        let found = extensions.get().copied();
        found.or_else(|| PeerAddress::of(extensions).map(|peer| Self::new(peer.0.ip())))
    }

    /// Returns the address.
    #[must_use]
    pub const fn ip(self) -> IpAddr {
        self.0
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The other end of the connection. The server inserts it into the extensions of each request. With
/// the feature `axum`, `ConnectInfo` of axum's server is read too, and with the feature `tonic` the peer of
/// tonic's server; [`ClientAddressLayer::peer_from`] reads other types.
///
/// Without a peer, limits by address reject every request instead of counting all clients as one:
///
/// ```
/// use goat_core::Quota;
/// use goat_core::testing::TestGoat;
/// use goat_tower::GoatExt;
/// use goat_tower::address::PeerAddress;
/// use http::{Request, Response, StatusCode};
/// use http_body_util::Empty;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let limit = TestGoat::new().goat.limit(Quota::per_minute(300)).by_address();
/// let service = limit.layer(service_fn(async |_: Request<()>| {
///     Ok::<_, std::convert::Infallible>(Response::new(Empty::<&[u8]>::new()))
/// }));
///
/// let mut request = Request::new(());
/// request.extensions_mut().insert(PeerAddress("192.0.2.7:4711".parse()?));
/// assert_eq!(service.clone().oneshot(request).await?.status(), StatusCode::OK);
///
/// let rejected = service.oneshot(Request::new(())).await?;
/// assert_eq!(rejected.status(), StatusCode::INTERNAL_SERVER_ERROR);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerAddress(pub SocketAddr);

impl PeerAddress {
    /// Returns the peer of a request, if the server inserted it.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<Self> {
        let inserted = extensions.get().copied();
        #[cfg(feature = "axum")]
        let inserted = inserted.or_else(|| {
            use ::axum::extract::ConnectInfo;
            extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| Self(peer.0))
        });
        #[cfg(feature = "tonic")]
        let inserted = inserted.or_else(|| {
            use ::tonic::transport::server::TcpConnectInfo;
            extensions.get::<TcpConnectInfo>()?.remote_addr().map(Self)
        });
        inserted
    }
}
