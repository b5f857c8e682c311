//! Limits of heads, framing and connections, and the scope of a panic.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

use super::harness::{Server, assert_took};
use crate::serve::ServeSettings;

fn head_of(bytes: usize) -> String {
    let (start, end) = ("GET / HTTP/1.1\r\nhost: goat\r\na: ", "\r\n\r\n");
    format!("{start}{}{end}", "x".repeat(bytes - start.len() - end.len()))
}

fn head_with(headers: usize) -> String {
    let lines: String = (1..headers).map(|n| format!("a{n}: b\r\n")).collect();
    format!("GET / HTTP/1.1\r\nhost: h\r\n{lines}\r\n")
}

/// H2
#[tokio::test(start_paused = true)]
async fn head_of_32_kib_is_accepted_and_a_larger_one_is_431() {
    let server = Server::start();
    let mut client = server.connect();
    client.send(head_of(32 * 1024)).await;
    assert!(client.answer().await.starts_with("http/1.1 200"));

    client.send(head_of(33 * 1024)).await;
    let (said, took) = client.rest().await;
    assert!(said.starts_with("http/1.1 431"), "{said}");
    assert_took(took, 0);
    assert_eq!(server.asked.paths().len(), 1);
}

/// H2
#[tokio::test(start_paused = true)]
async fn hundred_headers_are_accepted_and_one_more_is_431() {
    let server = Server::start();
    let mut client = server.connect();
    client.send(head_with(100)).await;
    assert!(client.answer().await.starts_with("http/1.1 200"));

    client.send(head_with(101)).await;
    let (said, took) = client.rest().await;
    assert!(said.starts_with("http/1.1 431"), "{said}");
    assert_took(took, 0);
    assert_eq!(server.asked.paths().len(), 1);
}

/// H2
#[tokio::test(start_paused = true)]
async fn request_with_two_lengths_is_the_last_of_its_connection() {
    for lengths in [
        "content-length: 5\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 5",
        "content-length: 5\r\ntransfer-encoding: chunked\r\nconnection: keep-alive",
    ] {
        let server = Server::start();
        let mut client = server.connect();
        client
            .send(format!(
                "POST /body HTTP/1.1\r\nhost: h\r\n{lengths}\r\n\r\n0\r\n\r\n\
                 GET /smuggled HTTP/1.1\r\nhost: goat\r\n\r\n"
            ))
            .await;
        let (said, took) = client.rest().await;
        assert_eq!(said.matches("http/1.1 ").count(), 1, "{said}");
        assert_eq!(server.asked.paths(), ["/body"]);
        assert_took(took, 0);
    }
}

/// H2
#[tokio::test(start_paused = true)]
async fn invalid_lengths_are_rejected() {
    for lengths in [
        "content-length: 5\r\ncontent-length: 6",
        "content-length: +5",
        "transfer-encoding: gzip",
        "transfer-encoding: chunked, gzip",
    ] {
        let server = Server::start();
        let mut client = server.connect();
        client.send(format!("POST /body HTTP/1.1\r\nhost: h\r\n{lengths}\r\n\r\n0\r\n\r\n")).await;
        let (said, _) = client.rest().await;
        assert!(said.starts_with("http/1.1 400"), "{lengths}: {said}");
        assert!(server.asked.paths().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn pipelined_requests_are_served_in_order() {
    let server = Server::start();
    let mut client = server.connect();
    client.send("GET /peer HTTP/1.1\r\nhost: h\r\n\r\nGET /last HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await;
    let (said, _) = client.rest().await;
    assert_eq!(said.matches("http/1.1 200").count(), 2);
    assert!(said.contains("192.0.2.7:4711"));
    assert_eq!(server.asked.paths(), ["/peer", "/last"]);
}

/// A response reaches a client that is still sending.
#[tokio::test(start_paused = true)]
async fn early_response_survives_unread_request_bytes() {
    let server = Server::start();
    let mut client = server.connect_with(512);
    client.send("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 100000\r\n\r\n").await;
    client.send([b'x'; 100_000]).await;
    let (said, _) = client.rest().await;
    assert!(said.starts_with("http/1.1 200"), "{said}");
}

/// H3
#[tokio::test(start_paused = true)]
async fn connection_over_the_limit_is_accepted_when_a_silent_one_times_out() {
    let server = Server::with(ServeSettings { max_connections: 2, ..ServeSettings::default() });
    let silent = [server.connect(), server.connect()];
    let start = Instant::now();
    let mut client = server.connect();
    assert!(client.get("/").await.starts_with("http/1.1 200"));
    assert_took(start.elapsed(), 5);
    drop(silent);
}

#[tokio::test(start_paused = true)]
async fn failing_accept_is_retried_after_a_backoff() {
    let server = Server::start();
    for _ in 0..8 {
        // EMFILE: no file descriptors left.
        server.fail(io::Error::from_raw_os_error(24));
    }
    let start = Instant::now();
    let mut client = server.connect();
    assert!(client.get("/").await.starts_with("http/1.1 200"));
    assert_took(start.elapsed(), 2);
}

#[tokio::test(start_paused = true)]
async fn connection_gone_before_accept_causes_no_backoff() {
    let server = Server::start();
    server.fail(io::ErrorKind::ConnectionAborted.into());
    let start = Instant::now();
    assert!(server.connect().get("/").await.starts_with("http/1.1 200"));
    assert_took(start.elapsed(), 0);
}

#[tokio::test(start_paused = true)]
async fn failing_accept_does_not_delay_shutdown() {
    let server = Server::start();
    server.fail(io::Error::from_raw_os_error(24));
    tokio::time::sleep(Duration::from_millis(1)).await;
    let start = Instant::now();
    server.lifecycle.drain();
    assert_eq!(server.finished().await.cut, 0);
    assert!(start.elapsed() < Duration::from_millis(100));
}

/// H5
#[tokio::test(start_paused = true)]
async fn panic_of_a_handler_is_a_500_and_the_connection_survives() {
    let server = Server::start();
    let mut client = server.connect();
    assert!(client.get("/panic").await.starts_with("http/1.1 500"));
    assert!(client.get("/").await.starts_with("http/1.1 200"));
}

/// H5
#[tokio::test(start_paused = true)]
async fn panic_of_a_body_ends_only_its_connection() {
    let server = Server::start();
    let mut other = server.connect();
    let mut client = server.connect();
    client.send("GET /panic-body HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_took(client.rest().await.1, 0);
    assert!(other.get("/").await.starts_with("http/1.1 200"));
    assert!(server.connect().get("/").await.starts_with("http/1.1 200"));
}
