//! The HTTP server: connections, their limits in time and size, and graceful shutdown.
//!
//! These limits apply to every connection, independent of the routes:
//!
//! - A head has at most 32 KiB and 100 headers. A larger one is rejected with 431, which closes the
//!   HTTP/1 connection or the HTTP/2 stream. A request with both `Content-Length` and
//!   `Transfer-Encoding` is the last one of its connection; bytes after it are never served (RFC
//!   9112, section 6.1).
//! - Every connection has a deadline. The first head must arrive within
//!   [`ServeSettings::header_timeout`] after the connection was accepted, whether the client sends
//!   nothing, half an HTTP/2 preface or a byte a second; a later head within the same time after
//!   its first byte (under HTTP/2, where frames of other kinds may arrive at any time, by the end
//!   of the idle timeout). A request and its response have [`ServeSettings::request_timeout`], at
//!   which the [`deadline`] layer responds and the connection ends. Between requests
//!   [`ServeSettings::idle_timeout`] applies.
//! - At most [`ServeSettings::max_connections`] are open; more wait in the listener's backlog. When
//!   more than three quarters are open, each new connection closes the one that has been idle for
//!   longest. Since every open connection has a deadline, a flood of sockets delays other clients and
//!   cannot lock them out.
//! - An address, or an IPv6 /64, has at most [`ServeSettings::max_connections_per_address`]
//!   connections, and as many requests in flight on them: more connections are closed, more requests
//!   are rejected with 503. Trusted proxies are exempt.
//! - An HTTP/2 connection has at most 32 concurrent streams and 256 KiB of responses that the client
//!   has not read; further requests wait until it reads.
//! - A client that closes its side after a request still gets the response, if that is ready within
//!   two seconds.
//! - A panic ends its connection, never the server.
//! - Shutdown loses no request that was sent: see [`serve`].
//!
//! This module knows no routes. The same function serves the API and, on its own address, the
//! metrics.

mod accept;
mod activity;
mod addresses;
pub mod catch_panic;
mod connection;
pub mod deadline;
mod idle;
mod lifecycle;
mod open_files;
mod service;
mod signals;
mod stream;
#[cfg(test)]
mod tests;
pub(crate) mod unread;

use std::error::Error as StdError;
use std::time::Duration;

use bytes::Bytes;
use goat_tower::address::TrustedProxies;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tower::Service;

pub use lifecycle::{Lifecycle, Stage};
pub use open_files::raise_open_files_limit;
pub use signals::drain_on_signals;
pub(crate) use signals::fail_writes_over_the_file_limit;

/// The limits of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeSettings {
    /// `GOAT_MAX_CONNECTIONS`: maximum number of open connections; at least 1.
    pub max_connections: usize,
    /// `GOAT_MAX_CONNECTIONS_PER_ADDRESS`: maximum number of open connections of one IPv4 address or
    /// IPv6 /64, and of requests in flight on them; at least 1.
    pub max_connections_per_address: usize,
    /// `GOAT_TRUSTED_PROXIES`: the addresses that may have any number of connections.
    pub trusted_proxies: TrustedProxies,
    /// `GOAT_HEADER_TIMEOUT`: time until a head is complete.
    pub header_timeout: Duration,
    /// `GOAT_REQUEST_TIMEOUT`: time for a request, its body, and its response.
    pub request_timeout: Duration,
    /// `GOAT_IDLE_TIMEOUT`: time from the end of a response to the next request.
    pub idle_timeout: Duration,
    /// `GOAT_DRAIN_DELAY`: how long connections are still accepted after readiness fails.
    pub drain_delay: Duration,
    /// `GOAT_SHUTDOWN_TIMEOUT`: time for open requests to finish after that; should not be shorter
    /// than the request timeout.
    pub shutdown_timeout: Duration,
}

impl Default for ServeSettings {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_connections_per_address: 256,
            trusted_proxies: TrustedProxies::none(),
            header_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            drain_delay: Duration::ZERO,
            shutdown_timeout: Duration::from_secs(15),
        }
    }
}

/// The result of [`serve`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Served {
    /// Connections that had not finished within the shutdown timeout and were dropped.
    pub cut: usize,
}

/// Serves HTTP/1.1 and HTTP/2 (by prior knowledge) until `lifecycle` drains, and returns when the
/// last connection is closed.
///
/// `service` is cloned for every request; the extensions of each request hold the client socket's
/// address as a [`PeerAddress`](goat_tower::address::PeerAddress).
///
/// Graceful shutdown has three steps, so that a rolling restart loses no request:
///
/// 1. During the drain delay connections are still accepted and served, but every HTTP/1 response
///    carries `Connection: close`, so that clients reconnect elsewhere at a safe moment.
/// 2. Connections in the backlog are accepted, then the listener is closed. HTTP/2 connections get
///    a `GOAWAY`; HTTP/1 connections finish the requests in flight, and idle ones stay open for one
///    more second, for a request that may be in transit.
/// 3. After the shutdown timeout the remaining connections are dropped, and counted.
///
/// Errors of `accept` (no file descriptors left, for example) are logged and retried after a
/// backoff; they do not end the server.
///
/// ```
/// use goat_server::serve::{Lifecycle, ServeSettings, serve};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let lifecycle = Lifecycle::new();
/// let service = axum::Router::new();
///
/// let server = tokio::spawn(serve(listener, service, ServeSettings::default(), lifecycle.clone()));
/// lifecycle.ready();
/// lifecycle.drain();
/// assert_eq!(server.await?.cut, 0);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub async fn serve<S, B>(
    listener: TcpListener,
    service: S,
    settings: ServeSettings,
    lifecycle: Lifecycle,
) -> Served
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn StdError + Send + Sync>>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    accept::run(listener, service, settings, lifecycle).await
}
