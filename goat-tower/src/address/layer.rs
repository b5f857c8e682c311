//! Middleware that stores the client's address in the request's extensions.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use goat_core::limit::canonical_address;
use http::{Extensions, Request};
use tower_layer::Layer;
use tower_service::Service;

use super::{ClientAddress, Evidence, ForwardedHeader, PeerAddress, TrustedProxies, resolve};

/// Resolves the client's address for every request; see [the module](super) for the rules.
///
/// The peer is read from the request's extensions by [`PeerAddress::of`], or by the function given
/// to [`peer_from`](Self::peer_from). Without a peer nothing is stored, so that limits by address
/// do not count unrelated clients as one.
///
/// ```
/// use goat_core::Quota;
/// use goat_core::testing::TestGoat;
/// use goat_tower::GoatExt;
/// use goat_tower::address::{ClientAddressLayer, PeerAddress, TrustedProxies};
/// use http::{Request, Response, StatusCode};
/// use http_body_util::Empty;
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let service = ServiceBuilder::new()
///     .layer(ClientAddressLayer::new().trust(TrustedProxies::parse(["10.0.0.0/8"])?))
///     .layer(TestGoat::new().goat.limit(Quota::per_minute(1)).by_address())
///     .service_fn(async |_: Request<()>| {
///         Ok::<_, std::convert::Infallible>(Response::new(Empty::<&[u8]>::new()))
///     });
///
/// // Both clients use the same proxy and are counted separately.
/// let proxy = PeerAddress(([10, 0, 0, 1], 4711).into());
/// let send = |client: &str| {
///     let request = Request::builder().extension(proxy).header("x-forwarded-for", client);
///     service.clone().oneshot(request.body(()).expect("a request"))
/// };
/// assert_eq!(send("192.0.2.7").await?.status(), StatusCode::OK);
/// assert_eq!(send("192.0.2.8").await?.status(), StatusCode::OK);
/// assert_eq!(send("192.0.2.7").await?.status(), StatusCode::TOO_MANY_REQUESTS);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ClientAddressLayer {
    rules: Rules,
}

#[derive(Clone)]
struct Rules {
    proxies: TrustedProxies,
    header: ForwardedHeader,
    peer: fn(&Extensions) -> Option<SocketAddr>,
    on_untrusted: Option<Arc<OnUntrusted>>,
}

/// A hook that is called at most once.
struct OnUntrusted {
    called: AtomicBool,
    hook: Box<dyn Fn(IpAddr) + Send + Sync>,
}

impl ClientAddressLayer {
    /// Creates a layer without trusted proxies: the client is the peer.
    #[must_use]
    pub fn new() -> Self {
        Self {
            rules: Rules {
                proxies: TrustedProxies::none(),
                header: ForwardedHeader::default(),
                peer: |extensions| PeerAddress::of(extensions).map(|peer| peer.0),
                on_untrusted: None,
            },
        }
    }

    /// Sets the trusted proxies; replaces those set before.
    #[must_use]
    pub fn trust(mut self, proxies: TrustedProxies) -> Self {
        self.rules.proxies = proxies;
        self
    }

    /// Sets the header that the proxies write; the default is `X-Forwarded-For`.
    #[must_use]
    pub fn header(mut self, header: ForwardedHeader) -> Self {
        self.rules.header = header;
        self
    }

    /// Sets how the peer is read, in place of [`PeerAddress::of`], for servers that provide it in a
    /// type of their own.
    ///
    /// ```
    /// use std::net::SocketAddr;
    /// use goat_tower::address::ClientAddressLayer;
    ///
    /// #[derive(Clone)]
    /// struct Connection {
    ///     remote: SocketAddr,
    /// }
    ///
    /// let layer = ClientAddressLayer::new()
    ///     .peer_from(|extensions| extensions.get::<Connection>().map(|connection| connection.remote));
    /// ```
    #[must_use]
    pub fn peer_from(mut self, peer: fn(&Extensions) -> Option<SocketAddr>) -> Self {
        self.rules.peer = peer;
        self
    }

    /// Sets a hook for the first time that a peer sends the forwarding header without being a
    /// trusted proxy ([`Evidence::Untrusted`]). It receives the peer's address and is called once,
    /// so that clients cannot flood the log. Use it to warn that a proxy may be missing from the
    /// configuration.
    #[must_use]
    pub fn on_untrusted(mut self, hook: impl Fn(IpAddr) + Send + Sync + 'static) -> Self {
        let once = OnUntrusted { called: AtomicBool::new(false), hook: Box::new(hook) };
        self.rules.on_untrusted = Some(Arc::new(once));
        self
    }
}

impl Default for ClientAddressLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Rules")
            .field("proxies", &self.proxies)
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

impl<S> Layer<S> for ClientAddressLayer {
    type Service = ClientAddressService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ClientAddressService { inner, rules: Arc::new(self.rules.clone()) }
    }
}

/// Service created by [`ClientAddressLayer`].
#[derive(Clone, Debug)]
pub struct ClientAddressService<S> {
    inner: S,
    rules: Arc<Rules>,
}

impl<S, B> Service<Request<B>> for ClientAddressService<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        // The peer's own address needs no entry; see `ClientAddress::of`.
        if let Some(client) = self.rules.client(&request)
            && ClientAddress::of(request.extensions()) != Some(client)
        {
            request.extensions_mut().insert(client);
        }
        self.inner.call(request)
    }
}

impl Rules {
    fn client<B>(&self, request: &Request<B>) -> Option<ClientAddress> {
        let peer = (self.peer)(request.extensions())?.ip();
        let found = resolve(&self.proxies, self.header, Some(peer), request.headers());
        if found.evidence == Evidence::Untrusted
            && let Some(once) = &self.on_untrusted
            // Load first: the common case must not write to a cache line that all cores share.
            && !once.called.load(Ordering::Relaxed)
            && !once.called.swap(true, Ordering::Relaxed)
        {
            (once.hook)(canonical_address(peer));
        }
        found.address
    }
}
