//! The accept loop: accepts connections up to the limit, and drains them at shutdown.

use std::error::Error as StdError;
use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tower::Service;

use super::activity::Activity;
use super::addresses::Addresses;
use super::connection::{End, Order, drive};
use super::idle::IdleConnections;
use super::{Lifecycle, ServeSettings, Served};

/// The backoff after an error of `accept` that an immediate retry would only repeat.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(250);

/// Time between two log lines about refused connections.
const REFUSED_INTERVAL: Duration = Duration::from_secs(60);

/// A source of connections.
pub(super) trait Accept: Send {
    /// A connection.
    type Io: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Accepts the next connection. Cancel safe: dropping the future loses no connection.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Io, SocketAddr)>> + Send;
}

impl Accept for TcpListener {
    type Io = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = TcpListener::accept(self).await?;
        // Responses are written whole, so Nagle's algorithm would only add latency.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "failed to set TCP_NODELAY");
        }
        Ok((stream, peer))
    }
}

/// Serves until the lifecycle drains and all connections are closed.
pub(super) async fn run<L, S, B>(
    mut listener: L,
    service: S,
    settings: ServeSettings,
    lifecycle: Lifecycle,
) -> Served
where
    L: Accept,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn StdError + Send + Sync>>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let max = settings.max_connections.max(1);
    let (orders, received) = watch::channel(Order::Work);
    let mut connections = JoinSet::new();
    let mut addresses = Addresses::new(
        settings.max_connections_per_address.max(1),
        settings.trusted_proxies.clone(),
    );
    let mut idle = IdleConnections::default();
    let mut refused = Refused::default();
    let mut spawn = |connections: &mut JoinSet<()>, (io, peer): (L::Io, SocketAddr)| {
        let Some(place) = addresses.admit(peer.ip()) else {
            refused.count(peer);
            return;
        };
        if connections.len() >= max - max / 4 {
            idle.close_longest();
        }
        let (service, orders) = (service.clone(), received.clone());
        let activity = Arc::new(Activity::new(&settings));
        idle.add(&activity);
        connections.spawn(async move {
            log(peer, &drive(io, (peer, place), service, activity, orders).await);
        });
    };

    let mut stop = pin!(async {
        lifecycle.draining().await;
        orders.send_replace(Order::Drain);
        sleep(settings.drain_delay).await;
    });
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(ended) = connections.join_next() => reap(ended),
            // At the limit, new connections wait in the listener's backlog until one closes. Every
            // open connection has a deadline, so one does.
            accepted = listener.accept(), if connections.len() < max => match accepted {
                Ok(connection) => spawn(&mut connections, connection),
                Err(error) if is_client_error(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "failed to accept a connection; retrying");
                    // The backoff must not delay a shutdown.
                    tokio::select! { () = &mut stop => break, () = sleep(ACCEPT_BACKOFF) => {} }
                }
            },
        }
    }

    // Connections that completed their handshake before this point are accepted, even if the loop
    // had no time to accept them earlier.
    while connections.len() < max {
        tokio::select! {
            biased;
            Ok(connection) = listener.accept() => spawn(&mut connections, connection),
            () = ready(()) => break,
        }
    }
    drop(listener);
    orders.send_replace(Order::Stop);

    let drained = async {
        while let Some(ended) = connections.join_next().await {
            reap(ended);
        }
    };
    // On timeout `drained` is dropped, and the set still holds the open connections, which are counted
    // and aborted below.
    let _ = timeout(settings.shutdown_timeout, drained).await;
    let cut = connections.len();
    if cut > 0 {
        tracing::warn!(cut, "shutdown timeout elapsed; open connections closed");
    }
    connections.abort_all();
    Served { cut }
}

/// Connections that were closed because their address had too many, for the log.
#[derive(Debug, Default)]
struct Refused {
    count: u64,
    logged: Option<Instant>,
}

impl Refused {
    /// Counts one, and logs the count at most once in a minute.
    fn count(&mut self, peer: SocketAddr) {
        self.count += 1;
        if self.logged.is_none_or(|logged| logged.elapsed() >= REFUSED_INTERVAL) {
            tracing::warn!(
                address = %peer.ip(),
                count = self.count,
                "connection refused: its address has GOAT_MAX_CONNECTIONS_PER_ADDRESS open ones; if it \
                 is your proxy, add it to GOAT_TRUSTED_PROXIES"
            );
            *self = Self { count: 0, logged: Some(Instant::now()) };
        }
    }
}

/// Whether the error concerns one connection that was gone before it was accepted.
fn is_client_error(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Reaps a finished connection task. A panic's message is not logged: it may hold anything.
fn reap(ended: Result<(), JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        tracing::error!("connection task panicked; this is a bug");
    }
}

fn log(peer: SocketAddr, end: &End) {
    match end {
        End::Closed => tracing::trace!(%peer, "connection closed"),
        End::Failed(error) => tracing::debug!(%peer, %error, "connection failed"),
        End::Cut(reason) => tracing::debug!(%peer, reason, "connection closed by the server"),
    }
}
