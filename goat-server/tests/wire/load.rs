//! Load: idle sockets, bursts of logins, and shutdown.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::json;

use crate::harness::{ADMIN, ADMIN_PASSWORD, Server, UNLIMITED, folder, read_all};

/// H3: idle and slow clients do not delay others, and are disconnected at the header timeout.
#[test]
fn slow_clients_delay_nobody_and_are_disconnected() {
    // Below the usual limit of open files, on both sides.
    const CROWD: usize = 400;
    let folder = folder();
    let settings = [&UNLIMITED[..], &[("GOAT_HEADER_TIMEOUT", "3s")]].concat();
    let server = Server::start(folder.path(), &settings);
    let token = server.sign_in(ADMIN, ADMIN_PASSWORD).access;
    let openings: [&[u8]; 4] = [
        b"",
        b"GET /api/health HTTP/1.1\r\nHost: go",
        b"PRI * HTTP/2.0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    ];
    let mut crowd: Vec<TcpStream> = (0..CROWD)
        .map(|number| {
            let mut stream = server.connect();
            stream.write_all(openings[number % openings.len()]).expect("sent");
            stream
        })
        .collect();
    let answered = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    assert_eq!(server.get("/api/v1/user", &token).status, 200);
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        // Sends single bytes while the others send requests. Writes to closed sockets fail.
        scope.spawn(|| {
            let mut turn = 1;
            while answered.load(Ordering::SeqCst) < 100 && turn < CROWD * 4 {
                let _ = (&crowd[turn % CROWD]).write(b"x");
                // The clients with an incomplete head.
                turn += 4;
            }
        });
    });
    assert_eq!(answered.load(Ordering::SeqCst), 100);
    for stream in &mut crowd {
        let mut rest = Vec::new();
        // A reset is a disconnection too; a timeout would not be.
        if let Err(error) = stream.read_to_end(&mut rest) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
        }
        assert!(!rest.starts_with(b"HTTP/1.1 200"));
    }
    assert_eq!(server.get("/api/v1/user", &token).status, 200);
}

/// P7: load shedding. Logins above the hashing capacity are a 503 with `Retry-After`, and requests
/// without a password are not affected.
#[test]
fn burst_of_logins_is_shed() {
    const BURST: usize = 300;
    let folder = folder();
    let crowded = [("GOAT_HASH_CONCURRENCY", "1"), ("GOAT_HASH_QUEUE", "4")];
    let server = Server::start(folder.path(), &[&UNLIMITED[..], &crowded].concat());
    let token = server.sign_in(ADMIN, ADMIN_PASSWORD).access;
    let mut streams: Vec<TcpStream> = (0..BURST).map(|_| server.connect()).collect();
    for (number, stream) in streams.iter_mut().enumerate() {
        let email = format!("u{number}@example.org");
        let body = json!({ "email": email, "password": "not the password at all" }).to_string();
        let request = format!(
            "POST /api/v1/auth/login HTTP/1.1\r\nHost: goat\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).expect("sent");
    }
    for _ in 0..20 {
        assert_eq!(server.get("/api/health", "").status, 200);
        assert_eq!(server.get("/api/ready", "").status, 200);
        assert_eq!(server.get("/api/v1/user", &token).status, 200);
    }
    let (mut tried, mut shed) = (0, 0);
    for stream in streams {
        let response = read_all(stream).remove(0);
        match response.failure() {
            (401, "invalid-credentials") => tried += 1,
            (503, _) => {
                let wait: u64 = response.header("retry-after").parse().expect("seconds");
                assert!(wait >= 1, "{response:?}");
                shed += 1;
            }
            _ => panic!("{response:?}"),
        }
    }
    assert!(tried >= 5, "one is hashed and four wait: {tried}");
    assert!(shed > 0 && tried + shed == BURST, "{tried} and {shed}");
    // The server recovers.
    server.sign_in(ADMIN, ADMIN_PASSWORD);
}

/// P7
#[test]
fn disconnected_clients_leave_the_queue() {
    let folder = folder();
    let crowded = [("GOAT_HASH_CONCURRENCY", "1"), ("GOAT_HASH_QUEUE", "2")];
    let server = Server::start(folder.path(), &[&UNLIMITED[..], &crowded].concat());
    let body = json!({ "email": ADMIN, "password": "not the password at all" }).to_string();
    for _ in 0..50 {
        let mut stream = server.connect();
        let head = "POST /api/v1/auth/login HTTP/1.1\r\nHost: goat\r\n\
                    Content-Type: application/json\r\nContent-Length";
        write!(stream, "{head}: {}\r\n\r\n{body}", body.len()).expect("sent");
        drop(stream);
    }
    // One attempt is hashed, and some disconnections are not noticed yet.
    let got_in = (0..200).any(|_| server.login(ADMIN, ADMIN_PASSWORD).status == 200);
    assert!(got_in);
}

/// O3
#[test]
fn shutdown_completes_accepted_requests() {
    let folder = folder();
    // Thirty hashes take their time on a busy machine.
    let patient = [
        ("GOAT_HASH_QUEUE", "1000"),
        ("GOAT_REQUEST_TIMEOUT", "60s"),
        ("GOAT_REFRESH_LEEWAY", "60s"),
        ("GOAT_SHUTDOWN_TIMEOUT", "60s"),
    ];
    let server = Server::start(folder.path(), &[&UNLIMITED[..], &patient].concat());
    let body = json!({ "email": ADMIN, "password": ADMIN_PASSWORD }).to_string();
    let mut streams: Vec<TcpStream> = (0..30).map(|_| server.connect()).collect();
    for stream in &mut streams {
        // A first response shows that the connection is accepted.
        stream.write_all(b"GET /api/health HTTP/1.1\r\nHost: goat\r\n\r\n").expect("sent");
        let mut start = [0; 12];
        stream.read_exact(&mut start).expect("a response");
        assert_eq!(&start, b"HTTP/1.1 200");
        let head = "POST /api/v1/auth/login HTTP/1.1\r\nHost: goat\r\n\
                    Content-Type: application/json\r\nContent-Length";
        write!(stream, "{head}: {}\r\n\r\n{body}", body.len()).expect("sent");
    }
    server.signal("TERM");
    for mut stream in streams {
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("a response");
        assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 1, "{text}");
        assert!(text.contains("refresh_token"), "{text}");
    }
    let lines = server.wait();
    assert!(lines.last().expect("a line").contains("\"stopped\""), "{lines:?}");
}
