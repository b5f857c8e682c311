//! W5: one address cannot keep others out, and idle connections make room.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, sleep};

use super::harness::{Client, Server, assert_took};
use crate::serve::ServeSettings;

const SPACE: usize = 64 * 1024;

fn settings(max_connections: usize, max_connections_per_address: usize) -> ServeSettings {
    ServeSettings { max_connections, max_connections_per_address, ..ServeSettings::default() }
}

/// Whether the server closes the connection at once.
async fn is_closed(client: &mut Client) -> bool {
    let mut byte = [0];
    let read = tokio::time::timeout(Duration::from_millis(10), client.io.read(&mut byte)).await;
    matches!(read, Ok(Ok(0) | Err(_)))
}

/// W5.
#[tokio::test(start_paused = true)]
async fn connection_over_the_bound_of_its_address_is_closed_at_once() {
    let server = Server::with(settings(100, 3));
    let from = |address| server.connect_from(address, SPACE);
    let mut held: Vec<Client> = (0..3).map(|_| from([192, 0, 2, 7])).collect();
    for _ in 0..200 {
        assert!(is_closed(&mut from([192, 0, 2, 7])).await);
    }
    assert!(from([192, 0, 2, 8]).get("/").await.starts_with("http/1.1 200"));
    // A connection that ends makes room.
    held.truncate(2);
    sleep(Duration::from_millis(10)).await;
    assert!(from([192, 0, 2, 7]).get("/").await.starts_with("http/1.1 200"));
    for client in &mut held {
        assert!(client.get("/").await.starts_with("http/1.1 200"));
    }
}

/// W5.
#[tokio::test(start_paused = true)]
async fn trusted_proxies_have_any_number_of_connections() {
    let proxies = "192.0.2.7".parse().unwrap();
    let server = Server::with(ServeSettings { trusted_proxies: proxies, ..settings(100, 1) });
    let mut held: Vec<Client> =
        (0..50).map(|_| server.connect_from([192, 0, 2, 7], SPACE)).collect();
    for client in &mut held {
        assert!(client.get("/").await.starts_with("http/1.1 200"));
    }
}

/// W5, H3: silent sockets of many addresses do not delay another client, who would otherwise wait for
/// the header timeout.
#[tokio::test(start_paused = true)]
async fn longest_idle_connections_make_room() {
    let server = Server::with(settings(40, 30));
    let mut old = server.connect();
    old.get("/").await;
    let mut busy = server.connect();
    busy.send("GET /slow HTTP/1.1\r\nhost: h\r\n\r\n").await;
    sleep(Duration::from_millis(100)).await;
    let start = Instant::now();
    let mut silent = Vec::new();
    for number in 0..200_u8 {
        silent.push(server.connect_from([198, 51, 100, number], SPACE));
        if number % 2 == 0 {
            silent.last_mut().unwrap().send("GET / HT").await;
        }
        sleep(Duration::from_millis(1)).await;
    }
    let mut client = server.connect_from([203, 0, 113, 1], SPACE);
    assert!(client.get("/").await.starts_with("http/1.1 200"));
    assert_took(start.elapsed() - Duration::from_millis(200), 0);
    assert!(is_closed(&mut old).await, "it was idle for longest");
    assert!(is_closed(&mut silent[0]).await);
    assert!(!is_closed(silent.last_mut().unwrap()).await, "the latest stay");
    let (said, _) = busy.rest().await;
    assert!(said.starts_with("http/1.1 200"), "a request in flight is not idle: {said}");
}

/// W5.
#[tokio::test(start_paused = true)]
async fn few_connections_are_not_closed() {
    let server = Server::with(settings(40, 40));
    let mut held: Vec<Client> = (0..29).map(|_| server.connect()).collect();
    sleep(Duration::from_secs(1)).await;
    assert!(server.connect().get("/").await.starts_with("http/1.1 200"));
    for client in &mut held {
        assert!(client.get("/").await.starts_with("http/1.1 200"));
    }
}
