//! Real sockets on the loopback device.

use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::serve::{Lifecycle, ServeSettings, serve};

async fn ask(stream: &mut TcpStream, head: &str) -> String {
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// O3
#[tokio::test]
async fn router_is_served_until_draining_and_refuses_connections_afterwards() {
    let app = Router::new().route(
        "/peer",
        get(async |request: axum::extract::Request| {
            request.extensions().get::<goat_tower::address::PeerAddress>().unwrap().0.to_string()
        }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let lifecycle = Lifecycle::new();
    let server = tokio::spawn(serve(listener, app, ServeSettings::default(), lifecycle.clone()));

    let mut client = TcpStream::connect(address).await.unwrap();
    let own = client.local_addr().unwrap().to_string();
    let answer =
        ask(&mut client, "GET /peer HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(&own), "{answer}");
    drop(client);

    lifecycle.drain();
    assert_eq!(server.await.unwrap().cut, 0);
    assert!(TcpStream::connect(address).await.is_err());
}

/// H2: if the server closed on unread bytes, the kernel would reset the connection, and a client
/// that is still sending would see an error instead of the answer.
#[tokio::test]
async fn rejection_does_not_reset_a_client_that_is_still_sending() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let lifecycle = Lifecycle::new();
    let settings = ServeSettings::default();
    let server = tokio::spawn(serve(listener, Router::new(), settings, lifecycle.clone()));

    let mut client = TcpStream::connect(address).await.unwrap();
    let head = format!("GET / HTTP/1.1\r\nhost: h\r\na: {}", "x".repeat(60 * 1024));
    let answer = ask(&mut client, &head).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    client.write_all(b"and so on").await.unwrap();
    drop(client);

    lifecycle.drain();
    assert_eq!(server.await.unwrap().cut, 0);
}
