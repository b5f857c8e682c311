//! Many at once: sockets that say nothing, sign-ins by the hundred, and a server that is to leave.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::json;

use crate::harness::{ADMIN, ADMIN_PASSWORD, Server, UNLIMITED, folder, read_all};

/// H3: a crowd that says nothing, or a byte now and then, delays nobody; and each of it is sent away
/// when the time for a head is over.
#[test]
fn a_crowd_of_silent_sockets_delays_nobody_and_is_sent_away() {
    // As many as fit, on both sides, under the limit of open files that is usual.
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
        // Drops, for as long as others ask; who was sent away already drips into nothing.
        scope.spawn(|| {
            let mut turn = 1;
            while answered.load(Ordering::SeqCst) < 100 && turn < CROWD * 4 {
                let _ = (&crowd[turn % CROWD]).write(b"x");
                // Those whose opening is half a line.
                turn += 4;
            }
        });
    });
    assert_eq!(answered.load(Ordering::SeqCst), 100);
    for stream in &mut crowd {
        let mut rest = Vec::new();
        // A reset is a farewell too; a time-out would not be.
        if let Err(error) = stream.read_to_end(&mut rest) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
        }
        assert!(!rest.starts_with(b"HTTP/1.1 200"));
    }
    assert_eq!(server.get("/api/v1/user", &token).status, 200);
}

/// P7: of a burst of sign-ins some are let in, the others are told when to come back, and who does
/// not want a password hashed notices nothing of it.
#[test]
fn a_burst_of_sign_ins_is_shed_and_nobody_else_waits() {
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
    assert!(tried >= 5, "one that is hashed and four that wait: {tried}");
    assert!(shed > 0 && tried + shed == BURST, "{tried} and {shed}");
    // And afterwards it is as before.
    server.sign_in(ADMIN, ADMIN_PASSWORD);
}

/// P7: who hangs up leaves the queue, and takes no place in it.
#[test]
fn those_who_hang_up_leave_the_queue() {
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
    // Bounded: the one that is hashed, and those whose hanging up has not been seen yet.
    let got_in = (0..200).any(|_| server.login(ADMIN, ADMIN_PASSWORD).status == 200);
    assert!(got_in);
}

/// O3: what was asked before the signal is answered, and the program ends well.
#[test]
fn a_server_that_is_told_to_leave_answers_what_it_was_asked() {
    let folder = folder();
    let settings = [&UNLIMITED[..], &[("GOAT_HASH_QUEUE", "1000")]].concat();
    let server = Server::start(folder.path(), &settings);
    let body = json!({ "email": ADMIN, "password": ADMIN_PASSWORD }).to_string();
    let mut streams: Vec<TcpStream> = (0..30).map(|_| server.connect()).collect();
    for stream in &mut streams {
        // Answered once, so that the server has taken the connection for certain.
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
    let said = server.end();
    assert!(said.last().expect("a line").contains("\"stopped\""), "{said:?}");
}
