//! HTTP/2, with hyper's client.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::harness::{Server, assert_took};
use crate::serve::ServeSettings;

struct Client {
    requests: SendRequest<Empty<Bytes>>,
    connection: JoinHandle<hyper::Result<()>>,
}

impl Client {
    /// Connects with this flow-control window for responses.
    async fn connect(server: &Server, window: u32) -> Self {
        let (requests, connection) = Builder::new(TokioExecutor::new())
            .initial_stream_window_size(window)
            .handshake(TokioIo::new(server.connect().io))
            .await
            .unwrap();
        Self { requests, connection: tokio::spawn(connection) }
    }

    async fn send(&mut self, request: Request<Empty<Bytes>>) -> hyper::Result<Response<Incoming>> {
        self.requests.send_request(request).await
    }

    async fn get(&mut self, path: &str) -> (StatusCode, Bytes) {
        let response = self.send(get(path)).await.unwrap();
        (response.status(), response.into_body().collect().await.unwrap().to_bytes())
    }
}

fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("http://goat{path}")).body(Empty::new()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn requests_carry_their_peer_address() {
    let server = Server::start();
    let mut client = Client::connect(&server, 65_535).await;
    assert_eq!(client.get("/peer").await, (StatusCode::OK, "192.0.2.7:4711".into()));
    assert_eq!(client.get("/panic").await.0, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(client.get("/stuck").await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(client.get("/").await.0, StatusCode::OK);
}

/// H3
#[tokio::test(start_paused = true)]
async fn idle_connection_is_closed_after_the_idle_timeout() {
    let server = Server::start();
    let mut client = Client::connect(&server, 65_535).await;
    client.get("/slow").await;
    let start = Instant::now();
    client.connection.await.unwrap().unwrap();
    assert_took(start.elapsed(), 60);
}

/// H2
#[tokio::test(start_paused = true)]
async fn too_many_headers_are_431_without_calling_the_service() {
    let server = Server::start();
    let mut client = Client::connect(&server, 65_535).await;
    for (count, status) in
        [(100, StatusCode::OK), (101, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)]
    {
        let mut request = get("/");
        for n in 0..count {
            let name = http::HeaderName::try_from(format!("a{n}")).unwrap();
            request.headers_mut().insert(name, http::HeaderValue::from_static("b"));
        }
        assert_eq!(client.send(request).await.unwrap().status(), status);
    }
    assert_eq!(server.asked.paths().len(), 1);
}

/// H2
#[tokio::test(start_paused = true)]
async fn head_over_32_kib_is_rejected_and_other_streams_continue() {
    let server = Server::start();
    let mut client = Client::connect(&server, 65_535).await;
    // The client knows the server's limit after the first response.
    client.get("/").await;
    let mut request = get("/huge");
    let value = http::HeaderValue::try_from("x".repeat(33 * 1024)).unwrap();
    request.headers_mut().insert("a", value);
    if let Ok(response) = client.send(request).await {
        assert_eq!(response.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    assert_eq!(client.get("/").await.0, StatusCode::OK);
    assert_eq!(server.asked.paths(), ["/", "/"]);
}

/// H3
#[tokio::test(start_paused = true)]
async fn unread_stream_is_reset_and_other_streams_continue() {
    let server = Server::start();
    let mut client = Client::connect(&server, 1024).await;
    let unread = client.send(get("/big")).await.unwrap();
    assert_eq!(client.get("/").await.0, StatusCode::OK);
    sleep(Duration::from_millis(11_050)).await;
    assert!(unread.into_body().collect().await.is_err());
    assert_eq!(client.get("/").await.0, StatusCode::OK);
}

/// H3
#[tokio::test(start_paused = true)]
async fn client_that_reads_nothing_is_disconnected_shortly_after_the_deadline() {
    let server = Server::start();
    let mut client = server.connect_with(16 * 1024);
    let window = 8_u32 << 20;
    let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    hello.extend([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4]);
    hello.extend(window.to_be_bytes());
    // Room for the connection, and HEADERS with END_STREAM and END_HEADERS: GET, http, `/big`.
    hello.extend([0, 0, 4, 8, 0, 0, 0, 0, 0]);
    hello.extend(window.to_be_bytes());
    hello.extend([0, 0, 8, 1, 5, 0, 0, 0, 1, 0x82, 0x86, 0x04, 4]);
    hello.extend(b"/big");
    client.send(hello).await;
    sleep(Duration::from_millis(100)).await;
    assert_eq!(server.asked.paths(), ["/big"]);
    sleep(Duration::from_secs(11)).await;
    // The buffered bytes can still be read before the end.
    let (rest, took) = client.rest().await;
    assert!(rest.len() < 17 * 1024, "{}", rest.len());
    assert!(took < Duration::from_secs(12), "{took:?}");
}

/// W3: later requests of a client that reads nothing are not served.
#[tokio::test(start_paused = true)]
async fn unread_responses_are_bounded_per_connection() {
    let server = Server::start();
    let mut client = Client::connect(&server, 65_535).await;
    let unread = client.send(get("/big")).await.unwrap();
    let waiting: Vec<_> =
        (0..5).map(|_| tokio::spawn(client.requests.send_request(get("/big")))).collect();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(server.asked.paths(), ["/big"], "the others wait");
    // The client reads, and each response is served in turn.
    assert_eq!(unread.into_body().collect().await.unwrap().to_bytes().len(), 4 << 20);
    for waiting in waiting {
        let response = waiting.await.unwrap().unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes().len(), 4 << 20);
    }
    assert_eq!(server.asked.paths().len(), 6);
}

/// W5: streams do not multiply the bound of an address.
#[tokio::test(start_paused = true)]
async fn requests_in_flight_are_bounded_per_address() {
    let bound = ServeSettings { max_connections_per_address: 3, ..ServeSettings::default() };
    let server = Server::with(bound);
    let mut client = Client::connect(&server, 65_535).await;
    let stuck: Vec<_> =
        (0..3).map(|_| tokio::spawn(client.requests.send_request(get("/stuck")))).collect();
    sleep(Duration::from_millis(100)).await;
    let refused = client.send(get("/")).await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(server.asked.paths().len(), 3);
    for stuck in stuck {
        stuck.await.unwrap().unwrap();
    }
    assert_eq!(client.get("/").await.0, StatusCode::OK);
}

/// W3.
#[tokio::test(start_paused = true)]
async fn streams_per_connection_are_bounded() {
    let server = Server::start();
    let mut client = server.connect();
    let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    hello.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    // More streams than the server has announced, each GET, http, `/stuck`.
    for stream in (1..=79_u32).step_by(2) {
        hello.extend([0, 0, 10, 1, 5]);
        hello.extend(stream.to_be_bytes());
        hello.extend([0x82, 0x86, 0x04, 6]);
        hello.extend(b"/stuck");
    }
    client.send(hello).await;
    sleep(Duration::from_millis(100)).await;
    assert_eq!(server.asked.paths().len(), 32);
}

#[tokio::test(start_paused = true)]
async fn whole_response_arrives_through_a_small_window() {
    let server = Server::start();
    let mut client = Client::connect(&server, 1000).await;
    let (status, body) = client.get("/big").await;
    assert_eq!((status, body.len()), (StatusCode::OK, 4 << 20));
}

/// O3
#[tokio::test(start_paused = true)]
async fn shutdown_finishes_open_streams_and_sends_goaway() {
    let server = Server::start();
    let mut client = Client::connect(&server, 65_535).await;
    client.get("/").await;
    let slow = tokio::spawn(client.requests.send_request(get("/slow")));
    sleep(Duration::from_secs(1)).await;

    let start = Instant::now();
    server.lifecycle.drain();
    assert_eq!(slow.await.unwrap().unwrap().status(), StatusCode::OK);
    client.connection.await.unwrap().unwrap();
    assert_eq!(server.finished().await.cut, 0);
    assert_took(start.elapsed(), 2);
}

/// O3
#[tokio::test(start_paused = true)]
async fn new_request_during_the_drain_delay_is_served() {
    let delay = Duration::from_secs(2);
    let server = Server::with(ServeSettings { drain_delay: delay, ..ServeSettings::default() });
    let mut client = Client::connect(&server, 65_535).await;
    server.lifecycle.drain();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(client.get("/").await.0, StatusCode::OK);
    client.connection.await.unwrap().unwrap();
    assert_eq!(server.finished().await.cut, 0);
}
