//! The network side of the server: connections, their limits in time and size, and how they end.
//!
//! What holds for whoever connects, whatever the routes are:
//!
//! - A head has at most 32 KiB and 100 headers. HTTP/1 answers 431 and closes; so does HTTP/2 for
//!   the stream. A request with both `Content-Length` and `Transfer-Encoding` is the last one of
//!   its connection, and what follows it is never served (RFC 9112, section 6.1).
//! - No silence lasts for ever. The first head must be there [`ServeSettings::header_timeout`]
//!   after the connection was accepted, whether the client says nothing, half an HTTP/2 preface or
//!   a byte a second; a later head that long after its first byte (under HTTP/2, where frames of
//!   other kinds come at any time, by the end of the idle time-out). A request and its answer have
//!   [`ServeSettings::request_timeout`], which the [`deadline`] layer turns into an answer and the
//!   connection into its end. Between requests there is [`ServeSettings::idle_timeout`].
//! - At most [`ServeSettings::max_connections`] are open; more wait in the listener's backlog.
//!   Since every one of those open has a deadline, a flood of silent sockets delays others by the
//!   header time-out and cannot keep them out.
//! - A panic ends its connection, never the server.
//! - Shutting down loses nothing that was asked: see [`serve`].
//!
//! Nothing in here knows a route. The same function serves the API and, on an address of its own,
//! the metrics.

mod accept;
mod activity;
mod connection;
pub mod deadline;
mod lifecycle;
mod service;
mod signals;
mod stream;
#[cfg(test)]
mod tests;

use std::error::Error as StdError;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tower::Service;

pub use lifecycle::{Lifecycle, Stage};
pub use signals::drain_on_signals;

/// The limits of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeSettings {
    /// `GOAT_MAX_CONNECTIONS`: how many are open at once; at least 1.
    pub max_connections: usize,
    /// `GOAT_HEADER_TIMEOUT`: from the first byte possible to the whole head.
    pub header_timeout: Duration,
    /// `GOAT_REQUEST_TIMEOUT`: for a request, its body, and its answer.
    pub request_timeout: Duration,
    /// `GOAT_IDLE_TIMEOUT`: between the end of an answer and the next request.
    pub idle_timeout: Duration,
    /// `GOAT_DRAIN_DELAY`: how long connections are still accepted after readiness went off.
    pub drain_delay: Duration,
    /// `GOAT_SHUTDOWN_TIMEOUT`: how long what was accepted has to finish after that; sensibly no
    /// less than the request's.
    pub shutdown_timeout: Duration,
}

impl Default for ServeSettings {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            header_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            drain_delay: Duration::ZERO,
            shutdown_timeout: Duration::from_secs(15),
        }
    }
}

/// How the serving of a listener ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Served {
    /// Connections that had not finished within the shutdown time-out and were cut.
    pub cut: usize,
}

/// Serves HTTP/1.1 and HTTP/2 (by prior knowledge) until `lifecycle` drains, and returns when the
/// last connection is gone.
///
/// `service` is cloned for every request; the socket's other end is in each request's extensions, as
/// a [`PeerAddress`](goat_tower::address::PeerAddress).
///
/// Draining goes in three steps, so that a rolling restart loses no request:
///
/// 1. For the drain delay all goes on, but every HTTP/1 answer carries `Connection: close`: clients
///    move away at a moment that is safe for them.
/// 2. What waits in the backlog is still accepted, then the listener is closed. HTTP/2 connections
///    get a `GOAWAY`; HTTP/1 connections finish what is in flight, and idle ones stay open for a
///    last second, for the request that may be on its way.
/// 3. After the shutdown time-out, what is left is cut, and counted.
///
/// Errors of `accept` (no file descriptors left, say) are logged and tried again after a pause;
/// they do not end the server.
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
