//! Graceful shutdown: finished, refused and dropped connections.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::harness::{Server, assert_took};
use crate::serve::{ServeSettings, Served};

/// O3
#[tokio::test(start_paused = true)]
async fn shutdown_finishes_open_requests_and_refuses_new_connections() {
    let server = Server::start();
    let mut client = server.connect();
    client.send("GET /slow HTTP/1.1\r\nhost: h\r\n\r\n").await;
    sleep(Duration::from_secs(1)).await;

    server.lifecycle.drain();
    assert!(!server.lifecycle.is_ready());
    sleep(Duration::from_millis(1)).await;
    assert!(server.is_closed());

    let (said, took) = client.rest().await;
    assert!(said.starts_with("http/1.1 200") && said.ends_with("at last"), "{said}");
    assert!(said.contains("\r\nconnection: close\r\n"), "{said}");
    assert_took(took, 3);
    drop(client);
    assert_eq!(server.finished().await, Served { cut: 0 });
}

/// O3
#[tokio::test(start_paused = true)]
async fn connections_are_accepted_and_served_during_the_drain_delay() {
    let delay = Duration::from_secs(7);
    let server = Server::with(ServeSettings { drain_delay: delay, ..ServeSettings::default() });
    let mut old = server.connect();
    old.get("/").await;

    server.lifecycle.drain();
    sleep(Duration::from_secs(6)).await;
    for client in [&mut old, &mut server.connect()] {
        let said = client.get("/").await;
        assert!(said.starts_with("http/1.1 200"), "{said}");
        assert!(said.contains("\r\nconnection: close"), "{said}");
        assert_eq!(client.rest().await.0, "");
    }
    assert!(!server.is_closed());
    sleep(Duration::from_millis(1001)).await;
    assert!(server.is_closed());
}

/// O3
#[tokio::test(start_paused = true)]
async fn backlogged_connection_is_served_during_shutdown() {
    let server = Server::start();
    // Without an await in between, the server has not run since.
    let mut client = server.connect();
    server.lifecycle.drain();
    assert!(client.get("/").await.starts_with("http/1.1 200"));
    drop(client);
    assert_eq!(server.finished().await.cut, 0);
}

/// O3
#[tokio::test(start_paused = true)]
async fn request_in_transit_to_an_idle_connection_is_served() {
    let server = Server::start();
    let mut client = server.connect();
    client.get("/").await;
    sleep(Duration::from_secs(30)).await;
    server.lifecycle.drain();
    sleep(Duration::from_millis(900)).await;
    let said = client.get("/").await;
    assert!(said.contains("\r\nconnection: close"), "{said}");
}

/// O3
#[tokio::test(start_paused = true)]
async fn idle_connections_delay_shutdown_by_one_second() {
    let server = Server::start();
    let mut idle = server.connect();
    idle.get("/").await;
    sleep(Duration::from_secs(3)).await;
    let mut silent = server.connect();
    sleep(Duration::from_millis(100)).await;

    let start = Instant::now();
    server.lifecycle.drain();
    assert_eq!(silent.rest().await.0, "");
    assert_eq!(idle.rest().await.0, "");
    assert_took(start.elapsed(), 1);
    drop((idle, silent));
    assert_eq!(server.finished().await.cut, 0);
    assert_took(start.elapsed(), 1);
}

/// O3
#[tokio::test(start_paused = true)]
async fn partial_head_keeps_its_timeout_during_shutdown() {
    let server = Server::start();
    let mut client = server.connect();
    client.send("GET / HT").await;
    sleep(Duration::from_millis(100)).await;
    server.lifecycle.drain();
    sleep(Duration::from_secs(4)).await;
    client.send("TP/1.1\r\nhost: h\r\n\r\n").await;
    assert!(client.answer().await.starts_with("http/1.1 200"));
}

/// O3
#[tokio::test(start_paused = true)]
async fn connections_past_the_shutdown_timeout_are_dropped_and_counted() {
    let server = Server::with(ServeSettings {
        shutdown_timeout: Duration::from_secs(2),
        ..ServeSettings::default()
    });
    let mut stuck = [server.connect(), server.connect()];
    for client in &mut stuck {
        client.send("GET /stuck HTTP/1.1\r\nhost: h\r\n\r\n").await;
    }
    sleep(Duration::from_secs(1)).await;

    let start = Instant::now();
    server.lifecycle.drain();
    assert_eq!(server.finished().await, Served { cut: 2 });
    assert_took(start.elapsed(), 2);
    assert_eq!(stuck[0].rest().await.0, "");
}
