//! hyper's server over TCP, without a framework.

use std::convert::Infallible;

use bytes::Bytes;
use goat_core::{Principal, Quota};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tower::{Service, service_fn};

use crate::support::connection::{
    Client, VERSIONS, Version, all_layers, people, request, serve, with_body,
};

/// Inner service that responds with the user id in `x-user`, and with the request's body.
fn echo()
-> impl Service<Request<Incoming>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    service_fn(async |request: Request<Incoming>| {
        let user = request.extensions().get::<Principal>().map(|me| me.user().to_string());
        let sent = request.into_body().collect().await.unwrap().to_bytes();
        let response = Response::builder().header("x-user", user.unwrap_or_default());
        Ok(response.body(Full::new(sent)).unwrap())
    })
}

#[tokio::test]
async fn responses_are_sent_and_the_connection_stays_open() {
    for version in VERSIONS {
        let (test, alice, bob) = people().await;
        let address = serve(version, all_layers(&test, Quota::per_minute(3), echo())).await;
        let mut client = Client::connect(version, address).await;

        let response = client.fetch(request(Some(&alice))).await;
        assert_eq!((response.status.as_u16(), &response.body[..]), (200, b"sent" as &[u8]));
        assert_eq!(response.header("x-user"), alice.user.id.to_string());
        assert_eq!(response.header("ratelimit"), r#""address";r=9999;t=3600, "user";r=2;t=60"#);
        assert_eq!(response.header("x-ratelimit-limit"), "", "by default the headers of the IETF");
        assert_eq!(response.header("cache-control"), "no-store");

        let response = client.fetch(request(None)).await;
        assert_eq!((response.status.as_u16(), response.code()), (401, "unauthenticated"));
        assert_eq!(response.header("www-authenticate"), r#"Bearer realm="goat""#);
        assert_eq!(response.header("content-type"), "application/problem+json");
        assert_eq!(response.header("content-length"), response.body.len().to_string());

        let response = client.fetch(request(Some(&bob))).await;
        assert_eq!((response.status.as_u16(), response.code()), (403, "forbidden"));
        for left in ["1", "0"] {
            let response = client.fetch(request(Some(&alice))).await;
            assert_eq!(response.status.as_u16(), 200);
            let limits = response.header("ratelimit");
            assert!(limits.contains(&format!(r#""user";r={left};"#)), "{limits}");
        }
        let response = client.fetch(request(Some(&alice))).await;
        assert_eq!((response.status.as_u16(), response.code()), (429, "rate-limited"));
        assert_eq!(response.header("retry-after"), "60");
    }
}

/// A denial does not wait for the body, and does not break the connection for later requests.
#[tokio::test]
async fn a_denied_upload_is_not_read() {
    for version in VERSIONS {
        let (test, alice, _) = people().await;
        let address = serve(version, all_layers(&test, Quota::per_minute(9), echo())).await;
        let mut client = Client::connect(version, address).await;
        let large = Full::new(Bytes::from(vec![7; 1 << 20]));
        let response = client.fetch(with_body(None, large.clone())).await;
        assert_eq!(response.status, 401);
        // The server may close the connection instead of reading the rest; then use a new one.
        let mut client = Client::connect(version, address).await;
        let response = client.fetch(with_body(Some(&alice), large)).await;
        assert_eq!((response.status.as_u16(), response.body.len()), (200, 1 << 20));
    }
}

/// The server derives the same framing as from the inner body.
#[tokio::test]
async fn allowed_responses_are_framed_as_without_the_layers() {
    let inner = || {
        service_fn(async |request: Request<Incoming>| {
            let empty = request.headers().contains_key("x-empty");
            let body = Full::new(Bytes::from_static(if empty { b"" } else { b"answered" }));
            Ok::<_, Infallible>(Response::new(body))
        })
    };
    for version in VERSIONS {
        let (test, alice, _) = people().await;
        let plain = serve(version, inner()).await;
        let layered = serve(version, all_layers(&test, Quota::per_minute(9), inner())).await;
        let (mut plain, mut layered) =
            (Client::connect(version, plain).await, Client::connect(version, layered).await);
        for (method, empty) in [("GET", false), ("GET", true), ("HEAD", false), ("HEAD", true)] {
            if (version, method) == (Version::Http2, "HEAD") {
                // HTTP/2: hyper leaves the empty body of a HEAD response to the service.
                continue;
            }
            let fetch = || {
                let mut request = request(Some(&alice));
                *request.method_mut() = method.parse().unwrap();
                if empty {
                    request.headers_mut().insert("x-empty", "1".parse().unwrap());
                }
                request
            };
            let (plain, layered) = (plain.fetch(fetch()).await, layered.fetch(fetch()).await);
            assert_eq!(plain.body, layered.body);
            for header in ["content-length", "transfer-encoding", "connection"] {
                assert_eq!(plain.header(header), layered.header(header), "{method} {empty}");
            }
            if method == "GET" && !empty {
                assert_eq!(layered.header("content-length"), "8");
            }
        }
    }
}

#[tokio::test]
async fn concurrent_clients_get_their_own_responses() {
    for version in VERSIONS {
        let (test, alice, bob) = people().await;
        let address = serve(version, all_layers(&test, Quota::per_minute(1000), echo())).await;
        let clients = (0..8).map(|client| {
            let (alice, bob) = (alice.clone(), bob.clone());
            tokio::spawn(async move {
                let mut connection = Client::connect(version, address).await;
                for round in 0..12 {
                    let (user, status) = match (client + round) % 3 {
                        0 => (Some(&alice), 200),
                        1 => (Some(&bob), 403),
                        _ => (None, 401),
                    };
                    let sent = format!("{client} {round}");
                    let response =
                        connection.fetch(with_body(user, Full::from(sent.clone()))).await;
                    assert_eq!(response.status, status);
                    assert_eq!(response.body == sent, status == 200);
                }
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.unwrap();
        }
    }
}
