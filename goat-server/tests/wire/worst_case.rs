//! W2, W3: the work and memory that an unauthenticated client causes with few bytes, for every route.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use goat_server::api::table;
use serde_json::json;

use crate::harness::{ADMIN, ADMIN_PASSWORD, PASSWORD, Server, UNLIMITED, folder};

/// The largest response to a small request (W2).
const SMALL: usize = 8 * 1024;

/// The routes whose responses are documents, which W2 exempts.
const DOCUMENTS: [&str; 9] = [
    "/.well-known/jwks.json",
    "/api/docs",
    "/api/docs/page.css",
    "/api/docs/page.js",
    "/api/link",
    "/api/link/page.css",
    "/api/link/page.js",
    "/api/metrics",
    "/api/openapi.json",
];

/// Every method and path of the API, and others that match no route.
fn targets() -> Vec<(String, String)> {
    let routes = table();
    let mut targets: Vec<_> = routes
        .iter()
        .map(|endpoint| {
            let path = endpoint.path().replace("{id}", "01ARZ3NDEKTSV4RRFFQ69G5FAV");
            (
                endpoint.method().to_string(),
                path.replace("{key}", "client").replace("{name}", "client"),
            )
        })
        .collect();
    targets.extend(["GET", "POST", "OPTIONS", "BREW"].map(|method| (method.into(), "/a".into())));
    targets.extend(["OPTIONS", "DELETE"].map(|method| (method.into(), "/api/health".into())));
    targets
}

fn is_document((method, path): &(String, String)) -> bool {
    method == "GET" && DOCUMENTS.contains(&path.as_str())
}

/// W2: `guide/bounded-work.md` has the measured sizes of every route.
#[test]
fn measured_table_lists_every_route() {
    let page = include_str!("../../guide/bounded-work.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let rows = rows.filter_map(|row| row.rsplit_once(' '));
    let listed: Vec<_> = rows
        .flat_map(|(methods, path)| methods.split(", ").map(move |method| (method, path)))
        .collect();
    for endpoint in table() {
        let route = (endpoint.method().as_str(), endpoint.path());
        assert!(listed.contains(&route), "{route:?} is missing in guide/bounded-work.md");
    }
}

/// Suffixes of a path that make a response large.
fn suffixes() -> Vec<String> {
    let names = |count: usize, length: usize| {
        let names = (0..count).map(|number| format!("{number:\"<length$}"));
        format!("?{}", names.collect::<Vec<_>>().join("&"))
    };
    vec![
        String::new(),
        format!("?{}", "a&".repeat(1000)),
        names(32, 64),
        names(32, 110),
        names(20, 64),
        format!("?{}", vec!["%F0%9F%90%90".repeat(64); 5].join("&")),
        format!("/{}", "\"".repeat(3900)),
        format!("/{}", "%22".repeat(1300)),
    ]
}

/// Bodies that make a response large.
fn bodies() -> Vec<String> {
    let members = |count: usize, length: usize| {
        let members = (0..count).map(|number| format!("\"{number:#<length$}\":0"));
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    };
    vec![String::new(), "{}".to_owned(), members(20, 64), members(1000, 8), "[".repeat(60_000)]
}

/// W2, over HTTP/1.
#[test]
fn response_is_at_most_8_kib_or_ten_times_the_request() {
    let folder = folder();
    let server = Server::start(folder.path(), &UNLIMITED);
    for target in targets().iter().filter(|target| !is_document(target)) {
        let (method, path) = target;
        let mut requests = Vec::new();
        for suffix in suffixes() {
            requests.push((format!("{path}{suffix}"), String::new()));
        }
        requests.extend(bodies().into_iter().map(|body| (path.clone(), body)));
        for (path, body) in requests {
            let length = body.len();
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: goat\r\nConnection: close\r\n\
                 X-Request-Id: {}\r\nContent-Type: application/json\r\n\
                 Content-Length: {length}\r\n\r\n{body}",
                "i".repeat(64)
            );
            let mut stream = server.connect();
            // The server may respond and close before it has read everything.
            let _ = stream.write_all(request.as_bytes());
            let mut response = Vec::new();
            let _ = stream.read_to_end(&mut response);
            let most = SMALL.max(10 * request.len());
            let shown = String::from_utf8_lossy(&response[..response.len().min(300)]).into_owned();
            assert!(!response.is_empty(), "{method} {path}");
            assert!(response.len() <= most, "{method} {path}: {} {shown}", response.len());
        }
    }
}

/// An HTTP/2 client that sends raw frames. Its requests are indexes into the table of header
/// compression, so that a request of any length takes some ten bytes.
struct Raw {
    stream: TcpStream,
    next: u32,
    request: Vec<u8>,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// An HPACK string without Huffman coding.
fn string(text: &str) -> Vec<u8> {
    let mut length = text.len();
    let mut bytes = Vec::new();
    if length < 127 {
        bytes.push(u8::try_from(length).expect("a short text"));
    } else {
        bytes.push(127);
        length -= 127;
        while length >= 128 {
            bytes.push(u8::try_from(length % 128 + 128).expect("a byte"));
            length /= 128;
        }
        bytes.push(u8::try_from(length).expect("a byte"));
    }
    [bytes, text.as_bytes().to_vec()].concat()
}

impl Raw {
    /// Connects with a flow-control window for each response, and stores a request in the table.
    fn connect(server: &Server, window: u32, method: &str, path: &str) -> Self {
        Self::connect_as(server, window, (method, path), None)
    }

    /// Like [`Raw::connect`], with a token.
    fn connect_as(
        server: &Server,
        window: u32,
        (method, path): (&str, &str),
        token: Option<&str>,
    ) -> Self {
        let mut stream = server.connect();
        let settings = [&[0, 4][..], &window.to_be_bytes()].concat();
        // The method, `http`, the path and the authority: literals that are added to the table.
        let head = [&[0x42][..], &string(method), &[0x86, 0x44], &string(path), &[0x41]].concat();
        let mut head = [head, string("goat")].concat();
        let mut request = vec![0xc0, 0x86, 0xbf, 0xbe];
        if let Some(token) = token {
            head.push(0x57);
            head.extend(string(&format!("Bearer {token}")));
            // The newest entry of the table has the lowest index.
            request = vec![0xc1, 0x86, 0xc0, 0xbf, 0xbe];
        }
        let bytes = [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            frame(4, 0, 0, &settings),
            frame(1, 5, 1, &head),
        ];
        stream.write_all(&bytes.concat()).expect("sent");
        Self { stream, next: 3, request }
    }

    /// Sends the request again; returns its size in bytes.
    fn repeat(&mut self, ends: bool) -> usize {
        let flags = if ends { 5 } else { 4 };
        let bytes = frame(1, flags, self.next, &self.request);
        self.next += 2;
        self.stream.write_all(&bytes).expect("sent");
        bytes.len()
    }

    /// Reads a frame; returns its stream, its size, and whether it ends the stream.
    fn read_frame(&mut self) -> (u32, usize, bool) {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).expect("a frame");
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).expect("a payload");
        assert_ne!(head[3], 7, "GOAWAY: {payload:?}");
        (stream, 9 + length, head[3] == 3 || (head[3] < 2 && head[4] & 1 == 1))
    }

    /// Reads until a stream ends, and returns the size of its frames.
    fn read(&mut self, wanted: u32) -> usize {
        let mut size = 0;
        loop {
            let (stream, length, ends) = self.read_frame();
            if stream == wanted {
                size += length;
                if ends {
                    return size;
                }
            }
        }
    }
}

/// W2, with header compression: a request of some ten bytes.
#[test]
fn compressed_request_has_a_small_response() {
    let folder = folder();
    let server = Server::start(folder.path(), &UNLIMITED);
    for target in targets().iter().filter(|target| !is_document(target)) {
        let (method, path) = target;
        for suffix in suffixes() {
            let path = format!("{path}{suffix}");
            // Larger ones do not fit into the table.
            if path.len() > 3900 {
                continue;
            }
            let mut client = Raw::connect(&server, 1 << 20, method, &path);
            client.read(1);
            let sent = client.repeat(true);
            let received = client.read(3);
            assert!(sent < 20 && received <= SMALL, "{method} {path}: {received} for {sent}");
        }
    }
}

/// Opens connections with more requests than the server accepts, and reads nothing.
fn open_unread(server: &Server, (method, path): &(String, String), ends: bool) -> Vec<Raw> {
    const CONNECTIONS: usize = 3;
    const STREAMS: usize = 100;
    let mut clients: Vec<Raw> =
        (0..CONNECTIONS).map(|_| Raw::connect(server, 0, method, path)).collect();
    for client in &mut clients {
        for _ in 0..STREAMS {
            client.repeat(ends);
        }
    }
    clients
}

/// W3: a client that opens streams and reads nothing, on every route.
#[test]
fn unread_responses_hold_little_memory() {
    // 256 KiB of responses, and the state of a connection and of 32 streams.
    const MOST: u64 = (256 + 512) * 1024;
    let folder = folder();
    // Otherwise the bound of requests in flight of one address would apply first.
    let many = [("GOAT_MAX_CONNECTIONS_PER_ADDRESS", "100000"), ("GOAT_HEADER_TIMEOUT", "60s")];
    let server = Server::start(folder.path(), &[&UNLIMITED[..], &many].concat());
    // Some responses are made once and kept.
    for (method, path) in targets() {
        server.raw(format!("{method} {path} HTTP/1.1\r\nHost: goat\r\nConnection: close\r\n\r\n"));
    }
    let before = server.resident();
    // All are held at once, since the allocator does not return freed memory.
    let mut held = Vec::new();
    let mut check = |target: &(String, String), ends: bool| {
        let earlier = server.resident();
        let clients = open_unread(&server, target, ends);
        // The server is at work on them while it does not answer.
        assert_eq!(server.get("/api/health", "").status, 200);
        let count = clients.len() as u64;
        let grown = server.resident().saturating_sub(earlier) / count;
        held.push(clients);
        assert!(grown <= MOST, "{target:?} holds {grown} bytes per connection");
    };
    for (method, path) in targets() {
        for suffix in ["", &suffixes()[3]] {
            check(&(method.clone(), format!("{path}{suffix}")), true);
        }
    }
    // Requests whose bodies never arrive.
    check(&("POST".to_owned(), "/api/v1/auth/login".to_owned()), false);
    let connections = held.iter().flatten().count() as u64;
    let grown = server.resident().saturating_sub(before) / connections;
    assert!(grown <= MOST, "{grown} bytes per connection");
}

/// W3: pages of lists exceed the capacity of a connection, and it has one of them at a time.
#[test]
fn unread_pages_are_made_one_at_a_time() {
    const USERS: usize = 24;
    // One page, the values that it is made of, and the state of a connection and of 32 streams.
    const MOST: u64 = 1024 * 1024;
    let folder = folder();
    let many = [("GOAT_MAX_CONNECTIONS_PER_ADDRESS", "100000"), ("GOAT_HEADER_TIMEOUT", "60s")];
    let server = Server::start(folder.path(), &[&UNLIMITED[..], &many].concat());
    let admin = server.sign_in(ADMIN, ADMIN_PASSWORD).access;
    let attributes = json!({ "note": "n".repeat(3900) });
    for number in 0..USERS {
        let user = json!({ "email": format!("user{number}@example.org"), "password": PASSWORD });
        let user = server.json("POST", "/api/v1/auth/signup", "", &user);
        let id = user.body["data"]["id"].as_str().expect("an id");
        let path = format!("/api/v1/user/{id}/attributes");
        let response = server.json("PATCH", &path, &admin, &attributes);
        assert_eq!(response.status, 200, "{response:?}");
    }
    let list = ("GET", "/api/v1/user/list?limit=100");
    let size = server.get(list.1, &admin).text.len();
    assert!(size > USERS * 3900 && size < 128 * 1024, "{size}");
    // Longer than the server takes for the requests of a connection.
    let meanwhile = || {
        for _ in 0..40 {
            assert_eq!(server.get(list.1, &admin).status, 200);
        }
    };
    meanwhile();
    let before = server.resident();
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = Raw::connect_as(&server, 0, list, Some(&admin));
        for _ in 1..32 {
            client.repeat(true);
        }
        clients.push(client);
        meanwhile();
    }
    let grown = server.resident().saturating_sub(before) / clients.len() as u64;
    assert!(grown <= MOST, "{grown} bytes per connection");

    // A client that reads gets all of them.
    let mut client = Raw::connect_as(&server, 1 << 20, list, Some(&admin));
    client.stream.write_all(&frame(8, 0, 0, &(1u32 << 24).to_be_bytes())).expect("sent");
    for _ in 1..4 {
        client.repeat(true);
    }
    let (mut received, mut ended) = (0, 0);
    while ended < 4 {
        let (_, length, ends) = client.read_frame();
        received += length;
        ended += usize::from(ends);
    }
    assert!(received > 4 * size, "{received} of four pages of {size}");
}

/// W3: frames that a client can send without end.
#[test]
fn floods_of_frames_end_their_connection_or_cost_no_memory() {
    const MOST: u64 = 8 * 1024 * 1024;
    let folder = folder();
    let server = Server::start(folder.path(), &UNLIMITED);
    let header = |name: &str| [&[0x40][..], &string(name), &string(&"v".repeat(1000))].concat();
    let head = [&[0x82, 0x86, 0x84, 0x41][..], &string("goat")].concat();
    let mut resets = Vec::new();
    for stream in (3..20_003).step_by(2) {
        resets.extend(frame(1, 5, stream, &head));
        resets.extend(frame(3, 0, stream, &[0, 0, 0, 8]));
    }
    let endless_head =
        [frame(1, 1, 3, &head), (0..20_000).flat_map(|_| frame(9, 0, 3, &header("a"))).collect()];
    let floods = [
        ("resets", resets),
        ("CONTINUATION", endless_head.concat()),
        ("PING", (0..100_000).flat_map(|_| frame(6, 0, 0, &[0; 8])).collect()),
        ("SETTINGS", (0..100_000).flat_map(|_| frame(4, 0, 0, &[])).collect()),
        ("PRIORITY", (0..100_000).flat_map(|_| frame(2, 0, 5, &[0, 0, 0, 0, 1])).collect()),
    ];
    let before = server.resident();
    let clients: Vec<Raw> = floods
        .iter()
        .map(|(name, bytes)| {
            let mut client = Raw::connect(&server, 0, "GET", "/api/health");
            client.stream.set_write_timeout(Some(Duration::from_secs(2))).expect("a timeout");
            // The server closes the connection, or reads no more while its replies are unread.
            let _ = client.stream.write_all(bytes);
            let held = server.resident().saturating_sub(before);
            assert!(held <= MOST, "{name} holds {held} bytes");
            client
        })
        .collect();
    assert_eq!(server.get("/api/health", "").status, 200);
    drop(clients);
}
