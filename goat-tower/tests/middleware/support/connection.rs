//! Test support: a hyper server and client over a local TCP connection.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use goat_core::testing::{TestGoat, TestUser};
use goat_core::{Permission, Quota};
use goat_tower::GoatExt;
use goat_tower::address::{ClientAddressLayer, PeerAddress};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};

pub(crate) const REPORTS: Permission = Permission::new("report:read");
pub(crate) const EXPORTS: Permission = Permission::new("report:export");

/// A request body.
pub(crate) type Sent = UnsyncBoxBody<Bytes, BoxError>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Http1,
    Http2,
}
pub(crate) const VERSIONS: [Version; 2] = [Version::Http1, Version::Http2];

/// Serves each connection with a clone of `service`, with the peer's address in the extensions.
pub(crate) async fn serve<S, B>(version: Version, service: S) -> SocketAddr
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, peer) = listener.accept().await.unwrap();
            let service = service.clone();
            let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(PeerAddress(peer));
                service.clone().oneshot(request)
            });
            tokio::spawn(async move {
                let stream = TokioIo::new(stream);
                // The client observes a failed connection.
                let _ = match version {
                    Version::Http1 => {
                        let builder = hyper::server::conn::http1::Builder::new();
                        builder.serve_connection(stream, service).await
                    }
                    Version::Http2 => {
                        let builder =
                            hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                        builder.serve_connection(stream, service).await
                    }
                };
            });
        }
    });
    address
}

/// A client with one connection.
pub(crate) enum Client {
    Http1(http1::SendRequest<Sent>),
    Http2(http2::SendRequest<Sent>),
}

impl Client {
    pub(crate) async fn connect(version: Version, address: SocketAddr) -> Self {
        let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
        match version {
            Version::Http1 => {
                let (client, connection) = http1::handshake(stream).await.unwrap();
                tokio::spawn(connection);
                Self::Http1(client)
            }
            Version::Http2 => {
                let (client, connection) =
                    http2::handshake(TokioExecutor::new(), stream).await.unwrap();
                tokio::spawn(connection);
                Self::Http2(client)
            }
        }
    }

    pub(crate) async fn send(&mut self, request: Request<Sent>) -> Response<Incoming> {
        in_time(async {
            match self {
                Self::Http1(client) => {
                    client.ready().await.unwrap();
                    client.send_request(request).await.unwrap()
                }
                Self::Http2(client) => {
                    client.ready().await.unwrap();
                    client.send_request(request).await.unwrap()
                }
            }
        })
        .await
    }

    /// Sends a request and collects the response's body.
    pub(crate) async fn fetch(&mut self, request: Request<Sent>) -> TestResponse {
        let (parts, body) = self.send(request).await.into_parts();
        let body = in_time(body.collect()).await.unwrap();
        let trailers = body.trailers().cloned().unwrap_or_default();
        TestResponse {
            status: parts.status,
            headers: parts.headers,
            trailers,
            body: body.to_bytes(),
        }
    }
}

/// Fails a hanging test by a timeout.
pub(crate) async fn in_time<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(30), future)
        .await
        .expect("completion within the timeout")
}

/// A response with its collected body.
#[derive(Debug)]
pub(crate) struct TestResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) trailers: HeaderMap,
    pub(crate) body: Bytes,
}

impl TestResponse {
    /// Returns a header's value, or an empty string.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Returns the code of the problem document, or an empty string.
    pub(crate) fn code(&self) -> &str {
        let text = std::str::from_utf8(&self.body).unwrap();
        let code = text.split_once(r#""code":""#).and_then(|(_, rest)| rest.split_once('"'));
        code.map_or("", |(code, _)| code)
    }
}

pub(crate) fn request(user: Option<&TestUser>) -> Request<Sent> {
    with_body(user, Full::from("sent"))
}

pub(crate) fn with_body<B>(user: Option<&TestUser>, body: B) -> Request<Sent>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let mut builder = Request::post("http://goat.example/reports").header("host", "goat.example");
    if let Some(user) = user {
        builder = builder.header("authorization", user.bearer());
    }
    builder.body(body.map_err(Into::into).boxed_unsync()).unwrap()
}

/// Returns a goat, a user with the permission, and one without.
pub(crate) async fn people() -> (TestGoat, TestUser, TestUser) {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", [REPORTS]).await;
    let bob = test.sign_in("bob", [EXPORTS]).await;
    (test, alice, bob)
}

/// Wraps a service in all layers. No type is named.
pub(crate) fn all_layers<S, R>(
    test: &TestGoat,
    by_user: Quota,
    inner: S,
) -> impl Service<
    Request<Incoming>,
    Response = Response<impl Body<Data = Bytes, Error = R::Error> + Send + use<S, R>>,
    Error = S::Error,
    Future: Send,
> + Clone
+ Send
+ use<S, R>
where
    S: Service<Request<Incoming>, Response = Response<R>, Future: Send, Error: Send>
        + Clone
        + Send
        + 'static,
    R: Body<Data: Send> + Send + 'static,
{
    ServiceBuilder::new()
        .layer(ClientAddressLayer::new())
        .layer(test.goat.limit(Quota::per_hour(10_000)).by_address())
        .layer(test.goat.authenticate())
        .layer(test.goat.limit(by_user).by_user())
        .layer(test.goat.require(REPORTS))
        .service(inner)
}
