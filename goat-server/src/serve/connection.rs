//! One connection: the limits of the protocol, and the task that drives the connection and enforces
//! its deadlines.
//!
//! hyper's own header timeout is off: it starts when the previous response ends, so it would also
//! be the idle timeout, and it does not cover the bytes that tell HTTP/1 from HTTP/2.

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

use super::activity::{Action, Activity};
use super::addresses::Place;
use super::service::Counted;
use super::stream::Watched;
use super::unread::{MAX_STREAMS, Unread};

/// Maximum number of headers of a request.
pub(super) const MAX_HEADERS: usize = 100;

/// Maximum size of a head, in bytes.
const MAX_HEAD: u32 = 32 * 1024;

/// HTTP/2 flow-control window of a stream, in bytes: the largest request body.
const STREAM_WINDOW: u32 = 64 * 1024;

/// The same of a connection. A client can send more once the server has read bodies.
const CONNECTION_WINDOW: u32 = 4 * STREAM_WINDOW;

/// How much of one response HTTP/2 buffers: a frame.
const SEND_BUFFER: usize = 16 * 1024;

/// The shutdown phase that the accept loop sends to all connections, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    /// Serve.
    Work,
    /// Make each response the connection's last.
    Drain,
    /// Close when idle.
    Stop,
}

/// How a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// Closed normally.
    Closed,
    /// Failed: an error of the client or the protocol.
    Failed(Box<dyn StdError + Send + Sync>),
    /// Closed at its deadline.
    Cut(&'static str),
}

/// Serves one connection until it ends.
pub(super) async fn drive<I, S, B>(
    io: I,
    (peer, place): (SocketAddr, Place),
    service: S,
    activity: Arc<Activity>,
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
    let builder = protocol(activity.request_limit());
    let io = TokioIo::new(Watched::new(io, Arc::clone(&activity)));
    let service = Counted::new(service, (peer, place), Arc::clone(&activity), Unread::new());
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut stop = pin!(follow(orders, &activity));
    let mut closing = pin!(activity.closing());
    let mut closed = false;
    let mut stopped = false;
    let mut timer = pin!(sleep_until(activity.due().unwrap_or_else(Instant::now)));

    poll_fn(|cx| {
        loop {
            // Received bytes are read first, so that a request that has arrived is never taken for
            // an idle socket.
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
            closed = closed || closing.as_mut().poll(cx).is_ready();
            // A busy connection's deadline moves with each request. The timer is reset only if it
            // would fire too late; when it fires early, it is set again.
            if let Some(due) = activity.due().filter(|due| *due < timer.deadline()) {
                timer.as_mut().reset(due);
            }
            ready!(timer.as_mut().poll(cx));
            match activity.expire() {
                Action::Wait(until) => timer.as_mut().reset(until),
                Action::Leave => connection.as_mut().graceful_shutdown(),
                Action::Cut(reason) => return Poll::Ready(End::Cut(reason)),
            }
        }
    })
    .await
}

/// Marks the connection as draining on `Drain`, and resolves on `Stop`.
async fn follow(mut orders: watch::Receiver<Order>, activity: &Activity) {
    // If the sender is gone, the accept loop has ended: stop as well.
    if orders.wait_for(|order| *order >= Order::Drain).await.is_ok() {
        activity.drain();
        let _ = orders.wait_for(|order| *order == Order::Stop).await;
    }
}

/// Returns hyper's builder with the limits of the protocol.
fn protocol(limit: Duration) -> Builder<Streams> {
    let mut builder = Builder::new(Streams { limit });
    builder
        .http1()
        .header_read_timeout(None)
        // The whole head has to fit into this buffer; a larger one is rejected with 431.
        .max_buf_size(MAX_HEAD as usize)
        .max_headers(MAX_HEADERS)
        // The stream decides when a client that has closed its side is gone: its requests are dropped
        // then and leave the queues.
        .half_close(false);
    builder
        .http2()
        .max_header_list_size(MAX_HEAD)
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .adaptive_window(false);
    builder
}

/// Runs the streams of an HTTP/2 connection, each with the request timeout: a stream that the
/// client does not read is reset, and the others continue.
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
