//! Slow clients and slow services.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use tokio::io::{AsyncReadExt, AsyncWriteExt as _};
use tokio::time::{Instant, sleep};
use tower::{Layer, Service, service_fn};

use super::harness::{Server, assert_took};
use crate::serve::ServeSettings;
use crate::serve::deadline::{AwaitedBody, DeadlineLayer, Late};

/// H3
#[tokio::test(start_paused = true)]
async fn silent_connection_is_closed_after_the_header_timeout() {
    let server = Server::start();
    let (said, took) = server.connect().rest().await;
    assert_eq!(said, "");
    assert_took(took, 5);
}

/// H3
#[tokio::test(start_paused = true)]
async fn half_a_preface_is_closed_after_the_header_timeout() {
    let server = Server::start();
    let mut client = server.connect();
    client.send("PRI * HTTP/2.0\r\n").await;
    assert_took(client.rest().await.1, 5);
}

/// H3
#[tokio::test(start_paused = true)]
async fn preface_without_a_request_is_closed_after_the_header_timeout() {
    let server = Server::start();
    let mut client = server.connect();
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    assert_took(client.rest().await.1, 5);
}

/// H3
#[tokio::test(start_paused = true)]
async fn slow_head_is_closed_after_the_header_timeout() {
    let server = Server::start();
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nhost: h\r\n").await;
    let (mut reader, mut writer) = tokio::io::split(client.io);
    let drip = tokio::spawn(async move {
        let mut drops = 0;
        while tokio::io::AsyncWriteExt::write_all(&mut writer, b"a: b\r\n").await.is_ok() {
            drops += 1;
            sleep(Duration::from_millis(700)).await;
        }
        drops
    });
    let start = Instant::now();
    let _ = reader.read_to_end(&mut Vec::new()).await;
    assert_took(start.elapsed(), 5);
    assert!(drip.await.unwrap() >= 7);
    assert!(server.asked.paths().is_empty());
}

/// H3
#[tokio::test(start_paused = true)]
async fn slow_second_head_has_the_header_timeout_from_its_first_byte() {
    let server = Server::start();
    let mut client = server.connect();
    assert!(client.get("/").await.starts_with("http/1.1 200"));
    sleep(Duration::from_secs(20)).await;
    client.send("G").await;
    sleep(Duration::from_secs(4)).await;
    client.send("E").await;
    assert_took(client.rest().await.1, 25);
}

/// H3
#[tokio::test(start_paused = true)]
async fn idle_connection_is_closed_after_the_idle_timeout() {
    let server = Server::start();
    let mut client = server.connect();
    client.get("/").await;
    sleep(Duration::from_secs(59)).await;
    client.get("/").await;
    assert_took(client.rest().await.1, 59 + 60);
}

/// H3, O1
#[tokio::test(start_paused = true)]
async fn stuck_service_gets_a_503_at_the_deadline_and_the_connection_survives() {
    let server = Server::start();
    let mut client = server.connect();
    let start = Instant::now();
    assert!(client.get("/stuck").await.starts_with("http/1.1 503"));
    assert_took(start.elapsed(), 10);
    assert!(client.get("/").await.starts_with("http/1.1 200"));
}

/// A late handler's resources are free when the client receives the response.
#[tokio::test(start_paused = true)]
async fn late_service_is_dropped_before_the_timeout_response() {
    let held = Arc::new(());
    let service = service_fn(|_: Request<AwaitedBody<Empty<Bytes>>>| {
        let held = Arc::clone(&held);
        async move {
            let () = std::future::pending().await;
            drop(held);
            Ok::<_, Infallible>(Response::new("in time"))
        }
    });
    let layer = DeadlineLayer::new(Duration::from_secs(1), |late| {
        assert_eq!(late, Late::Service);
        Response::new("late")
    });
    let mut answer = pin!(layer.layer(service).call(Request::new(Empty::new())));
    assert_eq!(*answer.as_mut().await.unwrap().body(), "late");
    assert_eq!(Arc::strong_count(&held), 1);
}

/// H3
#[tokio::test(start_paused = true)]
async fn slow_request_body_gets_a_408_at_the_deadline_and_the_connection_closes() {
    let server = Server::start();
    let client = server.connect();
    let (mut reader, mut writer) = tokio::io::split(client.io);
    let drip = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        writer
            .write_all(b"POST /body HTTP/1.1\r\nhost: h\r\ncontent-length: 9999\r\n\r\n")
            .await
            .unwrap();
        while writer.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(700)).await;
        }
    });
    let start = Instant::now();
    let mut answer = Vec::new();
    let _ = reader.read_to_end(&mut answer).await;
    assert!(answer.starts_with(b"HTTP/1.1 408"));
    assert!(String::from_utf8_lossy(&answer).to_lowercase().contains("connection: close"));
    assert_took(start.elapsed(), 10);
    // The sending task ends soon, as the connection is closed.
    drip.await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(13));
}

/// H3
#[tokio::test(start_paused = true)]
async fn unread_response_ends_shortly_after_the_deadline() {
    let server = Server::start();
    let mut client = server.connect_with(1024);
    client.send("GET /big HTTP/1.1\r\nhost: h\r\n\r\n").await;
    sleep(Duration::from_millis(10_900)).await;
    let mut some = [0; 512];
    client.io.read_exact(&mut some).await.unwrap();
    sleep(Duration::from_millis(200)).await;
    // The buffered bytes can still be read before the end.
    let (rest, _) = client.rest().await;
    assert!(rest.len() <= 1024, "{}", rest.len());
}

/// H3: reading slowly extends no deadline.
#[tokio::test(start_paused = true)]
async fn slowly_read_response_ends_shortly_after_the_deadline() {
    let server = Server::start();
    let mut client = server.connect_with(1024);
    client.send("GET /big HTTP/1.1\r\nhost: h\r\n\r\n").await;
    let start = Instant::now();
    let mut some = [0; 512];
    while client.io.read(&mut some).await.is_ok_and(|read| read > 0) {
        sleep(Duration::from_millis(100)).await;
    }
    assert!(start.elapsed() > Duration::from_secs(11));
    assert!(start.elapsed() < Duration::from_secs(12));
}

/// H3: a service without the layer has a deadline as well.
#[tokio::test(start_paused = true)]
async fn connection_without_a_response_ends_shortly_after_the_deadline() {
    let server = Server::with_deadline(ServeSettings::default(), Duration::from_secs(999));
    let mut client = server.connect();
    client.send("GET /stuck HTTP/1.1\r\nhost: h\r\n\r\n").await;
    let (said, took) = client.rest().await;
    assert_eq!(said, "");
    assert_took(took, 11);
}

/// P7: a client that is gone cannot be told from one that has closed only its side, so its request is
/// cancelled after a while.
#[tokio::test(start_paused = true)]
async fn disconnecting_client_cancels_its_request() {
    let server = Server::with_deadline(ServeSettings::default(), Duration::from_secs(999));
    let mut client = server.connect();
    client.send("GET /stuck HTTP/1.1\r\nhost: h\r\n\r\n").await;
    sleep(Duration::from_secs(1)).await;
    drop(client);
    let start = Instant::now();
    server.lifecycle.drain();
    assert_eq!(server.finished().await.cut, 0);
    assert_took(start.elapsed(), 2);
}

/// A client may close its side after its request, and still gets the response.
#[tokio::test(start_paused = true)]
async fn half_closed_client_gets_its_responses() {
    let server = Server::start();
    for path in ["/", "/short"] {
        let mut client = server.connect();
        let pipelined = "GET /peer HTTP/1.1\r\nhost: h\r\n\r\n";
        client.send(format!("{pipelined}GET {path} HTTP/1.1\r\nhost: h\r\n\r\n")).await;
        client.io.shutdown().await.unwrap();
        let (said, took) = client.rest().await;
        assert_eq!(said.matches("http/1.1 200").count(), 2, "{path}: {said}");
        assert_took(took, u64::from(path == "/short"));
    }
    // Its connection is closed when no request is in flight, or after two seconds.
    for (sent, seconds) in [
        ("", 0),
        ("GET / HTTP/1.1\r\nhost", 0),
        ("GET /slow HTTP/1.1\r\nhost: h\r\n\r\n", 2),
        ("POST /body HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nab", 2),
    ] {
        let mut client = server.connect();
        client.send(sent).await;
        client.io.shutdown().await.unwrap();
        let (said, took) = client.rest().await;
        assert!(!said.contains("http/1.1 200"), "{sent}: {said}");
        assert_took(took, seconds);
    }
}

#[tokio::test(start_paused = true)]
async fn overflowing_timeouts_are_capped() {
    let server = Server::with(ServeSettings {
        header_timeout: Duration::MAX,
        request_timeout: Duration::MAX,
        idle_timeout: Duration::MAX,
        shutdown_timeout: Duration::MAX,
        ..ServeSettings::default()
    });
    let mut client = server.connect();
    sleep(Duration::from_secs(3600)).await;
    client.get("/slow").await;
    sleep(Duration::from_secs(3600)).await;
    client.get("/slow").await;
    drop(client);
    server.lifecycle.drain();
    assert_eq!(server.finished().await.cut, 0);
}
