//! H2: request framing and size limits.

use std::io::Write as _;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::harness::{Server, UNLIMITED, folder, read_all};

const SMUGGLED: &str = "GET /api/openapi.json HTTP/1.1\r\nHost: goat\r\n\r\n";
const LAST: &str = "GET /api/health HTTP/1.1\r\nHost: goat\r\nConnection: close\r\n\r\n";

fn server() -> (tempfile::TempDir, Server) {
    let folder = folder();
    let server = Server::start(folder.path(), &UNLIMITED);
    (folder, server)
}

fn login(headers: &str, body: &str) -> String {
    format!(
        "POST /api/v1/auth/login HTTP/1.1\r\nHost: goat\r\nContent-Type: application/json\r\n\
         {headers}\r\n{body}"
    )
}

/// H2
#[test]
fn ambiguous_length_closes_the_connection() {
    let (_folder, server) = server();
    let chunked = format!("0\r\n\r\n{SMUGGLED}");
    let cases = [
        ("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", &chunked),
        ("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", &chunked),
        ("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", &chunked),
        ("Transfer-Encoding: xchunked\r\n", &chunked),
        ("Transfer-Encoding: chunked, identity\r\n", &chunked),
        ("Transfer-Encoding: identity\r\nContent-Length: 4\r\n", &chunked),
        ("Transfer-Encoding : chunked\r\n", &chunked),
        ("Transfer-Encoding:\x0bchunked\r\n", &chunked),
        (" Transfer-Encoding: chunked\r\n", &chunked),
        ("X: a\r\n Transfer-Encoding: chunked\r\n", &chunked),
        ("Content-Length: 5\r\nContent-Length: 0\r\n", &chunked),
        ("Content-Length: 5, 0\r\n", &chunked),
        ("Content-Length: +5\r\n", &chunked),
        ("Content-Length: -1\r\n", &chunked),
        ("Content-Length: 0x5\r\n", &chunked),
        ("Content-Length: 18446744073709551621\r\n", &chunked),
    ];
    for (headers, body) in cases {
        let responses = server.raw(login(headers, body));
        assert_eq!(responses.len(), 1, "{headers:?}: {responses:?}");
        assert_eq!(responses[0].status, 400, "{headers:?}");
    }
    for size in ["-1", "0x2", "+2", "fffffffffffffffff", "2 2", "", "\u{0}"] {
        let body = format!("{size}\r\n{{}}\r\n0\r\n\r\n{SMUGGLED}");
        let responses = server.raw(login("Transfer-Encoding: chunked\r\n", &body));
        assert_eq!(responses.len(), 1, "{size:?}: {responses:?}");
        assert_eq!(responses[0].status, 400, "{size:?}");
    }
}

/// H2: request smuggling by a body that the route does not read.
#[test]
fn unread_body_is_not_the_next_request() {
    let (_folder, server) = server();
    for target in ["/api/health", "/nowhere", "/api/v1/user"] {
        let head = format!("GET {target} HTTP/1.1\r\nHost: goat\r\n");
        let length = SMUGGLED.len();
        let counted = format!("{head}Content-Length: {length}\r\n\r\n{SMUGGLED}{LAST}");
        let chunks = format!(
            "{head}Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{SMUGGLED}\r\n0\r\n\r\n{LAST}"
        );
        for request in [counted, chunks] {
            let responses = server.raw(request);
            assert!(
                responses.iter().all(|response| !response.text.contains("\"openapi\"")),
                "{target}: {responses:?}"
            );
            // The body is skipped completely, or the connection is closed.
            assert!(matches!(responses.len(), 1 | 2), "{target}: {responses:?}");
        }
    }
}

/// H2
#[test]
fn pipelined_requests_are_answered_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("GOAT_TRUSTED_PROXIES", "127.0.0.1")]);
    let mut text = String::new();
    for number in 0..50 {
        let id = format!("X-Request-Id: number-{number}\r\n");
        text.push_str(&format!("GET /api/health HTTP/1.1\r\nHost: goat\r\n{id}\r\n"));
    }
    text.push_str(LAST);
    let responses = server.raw(text);
    assert_eq!(responses.len(), 51);
    for (number, response) in responses.iter().take(50).enumerate() {
        assert_eq!(response.header("x-request-id"), format!("number-{number}"));
    }
}

/// H2
#[test]
fn head_is_limited_to_32_kib_and_100_headers() {
    let (_folder, server) = server();
    let many = |count: usize| {
        let headers: String = (0..count).map(|number| format!("x-{number}: a\r\n")).collect();
        format!("GET /api/health HTTP/1.1\r\nHost: goat\r\nConnection: close\r\n{headers}\r\n")
    };
    assert_eq!(server.raw(many(98))[0].status, 200);
    assert_eq!(server.raw(many(99))[0].status, 431);
    assert_eq!(server.raw(many(2000))[0].status, 431);
    let long = |length: usize| {
        let value = "a".repeat(length);
        format!("GET /api/health HTTP/1.1\r\nHost: goat\r\nConnection: close\r\nx: {value}\r\n\r\n")
    };
    assert_eq!(server.raw(long(31 * 1024))[0].status, 200);
    assert_eq!(server.raw(long(33 * 1024))[0].status, 431);
}

/// H2: counted while it streams, with any announced length.
#[test]
fn body_is_limited_to_64_kib() {
    let (_folder, server) = server();
    let big = " ".repeat(64 * 1024 + 1);
    let announced = login(&format!("Connection: close\r\nContent-Length: {}\r\n", big.len()), &big);
    assert_eq!(server.raw(announced)[0].failure(), (413, "payload-too-large"));
    let chunk = format!("{:x}\r\n{}\r\n", 1024, " ".repeat(1024));
    let chunks = format!("{}1\r\n \r\n0\r\n\r\n", chunk.repeat(64));
    let chunked = login("Connection: close\r\nTransfer-Encoding: chunked\r\n", &chunks);
    assert_eq!(server.raw(chunked)[0].failure(), (413, "payload-too-large"));
    // A too large `Content-Length` is rejected before the body, and without `100 Continue`.
    let expecting = "Connection: close\r\nExpect: 100-continue\r\nContent-Length: 9000000000\r\n";
    let mut stream = server.connect();
    stream.write_all(login(expecting, "").as_bytes()).expect("sent");
    let responses = read_all(stream);
    let statuses: Vec<_> = responses.iter().map(|response| response.status).collect();
    assert_eq!(statuses, [413], "{responses:?}");
}

/// H2
#[test]
fn ambiguous_json_is_rejected() {
    let (_folder, server) = server();
    let deep = format!(r#"{{"email":{}{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
    let bodies = [
        &*deep,
        r#"{"email":"a@b.example","email":"c@d.example","password":"aaaaaaaaaaaaaaa"}"#,
        r#"{"email":"a@b.example","\u0065mail":"c@d.example","password":"aaaaaaaaaaaaaaa"}"#,
        r#"{"email":"a@b.example","password":"aaaaaaaaaaaaaaa"} {}"#,
        r#"{"email":"a@b.example","password":"\ud800aaaaaaaaaaaaaaa"}"#,
        r#"["email","password"]"#,
        "\u{feff}{}",
    ];
    for body in bodies {
        let headers = "content-type: application/json\r\n";
        let response = server.send("POST", "/api/v1/auth/login", headers, body.as_bytes());
        let shown: String = body.chars().take(60).collect();
        assert!(matches!(response.status, 400), "{shown}: {response:?}");
        assert!(!response.text.contains("example"), "{shown}: {response:?}");
    }
    let encoded = "content-type: application/json\r\ncontent-encoding: gzip\r\n";
    assert_eq!(server.send("POST", "/api/v1/auth/login", encoded, b"{}").status, 415);
}

/// H2, A5: HTTP/2 with prior knowledge.
#[tokio::test]
async fn http2_has_the_same_guards() {
    let folder = folder();
    let server = Server::start(folder.path(), &UNLIMITED);
    let stream = tokio::net::TcpStream::connect(server.address).await.expect("it listens");
    let (client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("it speaks HTTP/2");
    let connection = tokio::spawn(connection);
    let ask = async |method: &str, uri: &str, headers: Vec<(String, String)>, body: Vec<u8>| {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(body))).expect("a request");
        let mut client = client.clone();
        client.ready().await.expect("it is there");
        let response = client.send_request(request).await.expect("a response");
        let status = response.status().as_u16();
        let text = response.into_body().collect().await.expect("a body").to_bytes();
        (status, String::from_utf8_lossy(&text).into_owned())
    };
    let json = || vec![("content-type".to_owned(), "application/json".to_owned())];
    for (method, uri, status) in [
        ("GET", "http://goat/api/health", 200),
        ("GET", "http://goat/api/v1/user", 401),
        ("HEAD", "http://goat/api/v1/user", 401),
        ("get", "http://goat/api/v1/user", 405),
        ("TRACE", "http://goat/api/v1/user", 405),
        ("GET", "http://goat//api/v1/user", 404),
        ("GET", "http://goat/api/v1/user/", 404),
        ("GET", "http://goat/api/health/%2e%2e/v1/user", 404),
        ("GET", "http://goat/api/health/../v1/user", 404),
    ] {
        assert_eq!(ask(method, uri, vec![], vec![]).await.0, status, "{method} {uri}");
    }
    let many = (0..101).map(|number| (format!("x-{number}"), "a".to_owned())).collect();
    assert_eq!(ask("GET", "http://goat/api/health", many, vec![]).await.0, 431);
    let login = "http://goat/api/v1/auth/login";
    assert_eq!(ask("POST", login, json(), vec![b' '; 64 * 1024 + 1]).await.0, 413);
    let two = vec![
        ("authorization".to_owned(), "Bearer a".to_owned()),
        ("authorization".to_owned(), "Bearer b".to_owned()),
    ];
    assert_eq!(ask("GET", "http://goat/api/v1/user", two, vec![]).await.0, 400);
    let doubled = br#"{"email":"a","email":"b","password":"c"}"#.to_vec();
    assert!(matches!(ask("POST", login, json(), doubled).await.0, 400));
    connection.abort();
}
