//! Load: idle sockets, bursts of logins, and shutdown.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use goat_server::serve::raise_open_files_limit;
use serde_json::json;

use crate::harness::{ADMIN, ADMIN_PASSWORD, Server, UNLIMITED, folder, read_all};

/// All clients of these tests have one address.
const CROWDED: (&str, &str) = ("GOAT_MAX_CONNECTIONS_PER_ADDRESS", "5000");

/// The longest that a request may take beside a crowd, at the 99th percentile, on a busy machine. A
/// request that waited for the crowd would take the header timeout or the time of all hashes.
const PATIENCE: Duration = Duration::from_secs(2);

/// The 99th percentile.
fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() * 99 / 100 - 1]
}

/// H3: idle and slow clients do not delay others, and are disconnected at the header timeout.
#[test]
fn slow_clients_delay_nobody_and_are_disconnected() {
    const CROWD: usize = 2000;
    raise_open_files_limit().expect("a limit");
    let folder = folder();
    let settings = [&UNLIMITED[..], &[CROWDED, ("GOAT_HEADER_TIMEOUT", "10s")]].concat();
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
    let times = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    let start = Instant::now();
                    assert_eq!(server.get("/api/v1/user", &token).status, 200);
                    times.lock().expect("no panic").push(start.elapsed());
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
    let slowest = p99(times.into_inner().expect("no panic"));
    assert!(slowest < PATIENCE, "{slowest:?}");
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

/// P7: load shedding. Of 2,000 logins at once, those above the hashing capacity are a 503 with
/// `Retry-After`. Requests without a password are not affected, and the memory of hashes is that of the
/// concurrent ones.
#[test]
fn burst_of_logins_is_shed() {
    const BURST: usize = 2000;
    /// One hash of 19 MiB, and 32 KiB for each connection with its request.
    const MEMORY: u64 = (20 + 2000 / 32) * 1024 * 1024;
    raise_open_files_limit().expect("a limit");
    let folder = folder();
    let crowded = [
        CROWDED,
        // The first clients send their requests when all are connected.
        ("GOAT_HEADER_TIMEOUT", "60s"),
        ("GOAT_HASH_CONCURRENCY", "1"),
        ("GOAT_HASH_QUEUE", "4"),
    ];
    let server = Server::start(folder.path(), &[&UNLIMITED[..], &crowded].concat());
    let token = server.sign_in(ADMIN, ADMIN_PASSWORD).access;
    let before = server.resident();
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
    let (mut times, mut most) = (Vec::new(), before);
    for _ in 0..34 {
        most = most.max(server.resident());
        for (path, token) in [("/api/health", ""), ("/api/ready", ""), ("/api/v1/user", &token)] {
            let start = Instant::now();
            // A check of the stores may time out on a busy machine.
            let is_served = (0..3).any(|_| server.get(path, token).status == 200);
            assert!(is_served, "{path}");
            times.push(start.elapsed());
        }
    }
    assert!(p99(times.clone()) < PATIENCE, "{times:?}");
    let grown = most.max(server.resident()) - before;
    assert!(grown < MEMORY, "{grown} bytes");
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
