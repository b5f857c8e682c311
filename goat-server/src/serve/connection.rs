//! One connection from its first byte to its last: the protocol's bounds, and the task that drives
//! it and ends it when its time is over.
//!
//! hyper's own header time-out is off: it starts when the last answer ends, so that it would be the
//! idle time-out too, and it does not cover the bytes that tell HTTP/1 from HTTP/2.

use std::error::Error as StdError;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tower::Service;

use super::ServeSettings;
use super::activity::{Activity, Verdict};
use super::service::Counted;
use super::stream::Watched;

/// Headers of a request.
pub(super) const MAX_HEADERS: usize = 100;

/// Bytes of a head.
const MAX_HEAD: u32 = 32 * 1024;

/// Requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 100;

/// What the accept loop asks of all connections, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    /// Nothing.
    Work,
    /// Let each answer be the connection's last.
    Drain,
    /// Finish.
    Stop,
}

/// How a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// As the protocol has it.
    Closed,
    /// The client or the protocol failed.
    Failed(Box<dyn StdError + Send + Sync>),
    /// Its time was over.
    Cut(&'static str),
}

/// Serves one connection until it ends.
pub(super) async fn drive<I, S, B>(
    io: I,
    peer: SocketAddr,
    service: S,
    settings: &ServeSettings,
    orders: watch::Receiver<Order>,
) -> End
where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn StdError + Send + Sync>>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let activity = Arc::new(Activity::new(settings));
    let builder = protocol(activity.request_limit());
    let io = TokioIo::new(Watched::new(io, Arc::clone(&activity)));
    let service = Counted::new(service, peer, Arc::clone(&activity));
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut stop = pin!(obey(orders, &activity));
    let mut stopped = false;
    let mut timer = pin!(sleep_until(activity.due().unwrap_or_else(Instant::now)));

    poll_fn(|cx| {
        loop {
            // First what has arrived: a request that is here is never taken for an idle socket.
            if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                return Poll::Ready(result.map_or_else(End::Failed, |()| End::Closed));
            }
            if !stopped && stop.as_mut().poll(cx).is_ready() {
                stopped = true;
                if activity.stop() {
                    connection.as_mut().graceful_shutdown();
                    continue;
                }
            }
            // A busy connection's deadline moves with each request. The timer follows only if it
            // would be late; early, it looks and sets itself again.
            if let Some(due) = activity.due().filter(|due| *due < timer.deadline()) {
                timer.as_mut().reset(due);
            }
            ready!(timer.as_mut().poll(cx));
            match activity.expire() {
                Verdict::Wait(until) => timer.as_mut().reset(until),
                Verdict::Leave => connection.as_mut().graceful_shutdown(),
                Verdict::Cut(reason) => return Poll::Ready(End::Cut(reason)),
            }
        }
    })
    .await
}

/// Passes the order to drain on, and resolves at the order to stop.
async fn obey(mut orders: watch::Receiver<Order>, activity: &Activity) {
    // Without a sender the accept loop is gone, and that is an order to stop as well.
    if orders.wait_for(|order| *order >= Order::Drain).await.is_ok() {
        activity.drain();
        let _ = orders.wait_for(|order| *order == Order::Stop).await;
    }
}

/// The bounds of the protocol.
fn protocol(limit: Duration) -> Builder<Streams> {
    let mut builder = Builder::new(Streams { limit });
    builder
        .http1()
        .header_read_timeout(None)
        // The whole head has to fit into the buffer; one that does not is a 431.
        .max_buf_size(MAX_HEAD as usize)
        .max_headers(MAX_HEADERS)
        // A client that closes its side is gone; work for it stops, and it leaves the queues.
        .half_close(false);
    builder
        .http2()
        .max_header_list_size(MAX_HEAD)
        .max_concurrent_streams(MAX_STREAMS)
        .adaptive_window(false);
    builder
}

/// Runs the streams of an HTTP/2 connection, each for as long as a request may take: one that the
/// client does not read is reset, and its neighbours are left alone.
#[derive(Clone, Copy, Debug)]
struct Streams {
    limit: Duration,
}

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        let limit = self.limit;
        tokio::spawn(async move {
            let _ = tokio::time::timeout(limit, stream).await;
        });
    }
}
