//! Test harness: a server over in-memory pipes, and a service with one path per behaviour.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tower::{Layer, Service, service_fn};

use crate::serve::accept::{Accept, run};
use crate::serve::catch_panic::CatchPanicLayer;
use crate::serve::deadline::{AwaitedBody, DeadlineLayer, Late};
use crate::serve::{Lifecycle, ServeSettings, Served};

type Connection = io::Result<(DuplexStream, SocketAddr)>;

/// The listener of the test server.
pub(super) struct Doors(mpsc::UnboundedReceiver<Connection>);

impl Accept for Doors {
    type Io = DuplexStream;

    async fn accept(&mut self) -> Connection {
        match self.0.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }
}

/// A body that is ready at once, or panics when it is polled.
pub(super) enum TestBody {
    Whole(Full<Bytes>),
    Panicking,
}

impl Body for TestBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(cx),
            Self::Panicking => panic!("a body that breaks"),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(body) if body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Panicking => SizeHint::default(),
        }
    }
}

pub(super) fn answer(status: StatusCode, body: impl Into<Bytes>) -> Response<TestBody> {
    let mut response = Response::new(TestBody::Whole(Full::new(body.into())));
    *response.status_mut() = status;
    response
}

/// The paths for which the service was called.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked(Arc<Mutex<Vec<String>>>);

impl Asked {
    pub(super) fn paths(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Returns the service with the middleware of a server.
pub(super) fn service(
    asked: Asked,
    deadline: Duration,
) -> impl Service<Request<Incoming>, Response = Response<TestBody>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    let routes = service_fn(move |request: Request<AwaitedBody<Incoming>>| {
        let path = request.uri().path().to_owned();
        asked.0.lock().unwrap().push(path.clone());
        async move {
            Ok::<_, Infallible>(match path.as_str() {
                "/body" => match request.into_body().collect().await {
                    Ok(body) => answer(StatusCode::OK, body.to_bytes()),
                    Err(_) => answer(StatusCode::BAD_REQUEST, "broken"),
                },
                "/slow" => {
                    sleep(Duration::from_secs(3)).await;
                    answer(StatusCode::OK, "at last")
                }
                "/short" => {
                    sleep(Duration::from_secs(1)).await;
                    answer(StatusCode::OK, "soon")
                }
                "/stuck" => std::future::pending().await,
                "/big" => answer(StatusCode::OK, vec![b'x'; 4 << 20]),
                "/panic" => panic!("a handler that breaks"),
                "/panic-body" => Response::new(TestBody::Panicking),
                "/peer" => {
                    let peer =
                        request.extensions().get::<goat_tower::address::PeerAddress>().unwrap();
                    answer(StatusCode::OK, peer.0.to_string())
                }
                _ => answer(StatusCode::OK, "hello"),
            })
        }
    });
    let routes = DeadlineLayer::new(deadline, |late| match late {
        Late::Body => answer(StatusCode::REQUEST_TIMEOUT, "late"),
        Late::Service => answer(StatusCode::SERVICE_UNAVAILABLE, "late"),
    })
    .layer(routes);
    let broken = || answer(StatusCode::INTERNAL_SERVER_ERROR, "broken");
    CatchPanicLayer::new(broken).layer(routes)
}

/// A running server.
pub(super) struct Server {
    pub(super) lifecycle: Lifecycle,
    pub(super) asked: Asked,
    doors: mpsc::UnboundedSender<Connection>,
    task: JoinHandle<Served>,
}

impl Server {
    pub(super) fn start() -> Self {
        Self::with(ServeSettings::default())
    }

    pub(super) fn with(settings: ServeSettings) -> Self {
        let deadline = settings.request_timeout;
        Self::with_deadline(settings, deadline)
    }

    /// Starts a server with a request deadline that differs from its connections' timeout.
    pub(super) fn with_deadline(settings: ServeSettings, deadline: Duration) -> Self {
        let (doors, knocks) = mpsc::unbounded_channel();
        let lifecycle = Lifecycle::new();
        lifecycle.ready();
        let asked = Asked::default();
        let service = service(asked.clone(), deadline);
        let task = tokio::spawn(run(Doors(knocks), service, settings, lifecycle.clone()));
        Self { lifecycle, asked, doors, task }
    }

    /// Connects a client.
    pub(super) fn connect(&self) -> Client {
        self.connect_with(64 * 1024)
    }

    /// Connects a client over a pipe with this capacity.
    pub(super) fn connect_with(&self, space: usize) -> Client {
        self.connect_from([192, 0, 2, 7], space)
    }

    /// Connects a client with this address.
    pub(super) fn connect_from(&self, address: [u8; 4], space: usize) -> Client {
        let (ours, theirs) = duplex(space);
        self.doors.send(Ok((theirs, SocketAddr::from((address, 4711))))).unwrap();
        Client { io: ours, since: Instant::now() }
    }

    /// Makes the next `accept` fail.
    pub(super) fn fail(&self, error: io::Error) {
        self.doors.send(Err(error)).unwrap();
    }

    /// Whether the listener is closed.
    pub(super) fn is_closed(&self) -> bool {
        self.doors.is_closed()
    }

    pub(super) async fn finished(self) -> Served {
        self.task.await.unwrap()
    }
}

/// The client's end of a connection.
pub(super) struct Client {
    pub(super) io: DuplexStream,
    since: Instant,
}

impl Client {
    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.io.write_all(bytes.as_ref()).await.unwrap();
    }

    pub(super) async fn get(&mut self, path: &str) -> String {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: goat\r\n\r\n")).await;
        self.answer().await
    }

    /// Reads the next response, by its `Content-Length`, in lower case.
    pub(super) async fn answer(&mut self) -> String {
        let mut text = Vec::new();
        loop {
            let head = String::from_utf8_lossy(&text).to_lowercase();
            if let Some((head, body)) = head.split_once("\r\n\r\n") {
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "))
                    .unwrap()
                    .parse::<usize>()
                    .unwrap();
                if body.len() >= length {
                    return format!("{head}\r\n\r\n{body}");
                }
            }
            assert_ne!(self.io.read_buf(&mut text).await.unwrap(), 0, "closed after {head:?}");
        }
    }

    /// Reads until the server closes, and returns the time since connecting.
    pub(super) async fn rest(&mut self) -> (String, Duration) {
        let mut text = Vec::new();
        // A connection that is dropped may be reset.
        let _ = self.io.read_to_end(&mut text).await;
        (String::from_utf8_lossy(&text).to_lowercase(), self.since.elapsed())
    }
}

/// Asserts a duration in seconds; a timer may fire a few milliseconds late.
#[track_caller]
pub(super) fn assert_took(took: Duration, seconds: u64) {
    let due = Duration::from_secs(seconds);
    assert!(
        took >= due && took < due + Duration::from_millis(50),
        "took {took:?} instead of {due:?}"
    );
}
