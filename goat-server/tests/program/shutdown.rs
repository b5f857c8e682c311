//! How a server leaves.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::support::process::{Site, json, message, status};

/// O3.
#[test]
fn sigterm_drains_and_ends_well() {
    for signal in ["TERM", "INT"] {
        let site = Site::new();
        let (mut server, address) = site.serve();
        // A request whose head is on its way.
        let mut stream = TcpStream::connect(address).expect("it listens");
        write!(stream, "GET /api/health HTTP/1.1\r\nHost: goat\r\n").expect("sent");
        // Answered after the other connection was accepted.
        assert_eq!(status(address, "/api/health"), 200);
        server.signal(signal);
        server.wait_for("draining");
        write!(stream, "\r\n").expect("sent");
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("a response and an end");
        assert!(response.starts_with("HTTP/1.1 200"), "{response}");
        let (status, said) = server.end();
        assert_eq!(status, Some(0), "{said:?}");
        assert_eq!(message(&json(said.last().expect("a line"))), "stopped");
        assert!(TcpStream::connect(address).is_err());
    }
}

/// O3.
#[test]
fn readiness_goes_off_while_the_listener_still_accepts() {
    let site = Site::new().with("GOAT_DRAIN_DELAY", "60s");
    let (mut server, address) = site.serve();
    server.signal("TERM");
    server.wait_for("draining");
    assert_eq!(status(address, "/api/ready"), 503);
    assert_eq!(status(address, "/api/health"), 200);
}

/// O3.
#[test]
fn second_signal_ends_at_once() {
    let site = Site::new().with("GOAT_DRAIN_DELAY", "60s");
    let (mut server, _) = site.serve();
    server.signal("TERM");
    server.wait_for("draining");
    server.signal("TERM");
    let (status, said) = server.end();
    assert_eq!(status, Some(1), "{said:?}");
    said.iter().for_each(|line| drop(json(line)));
}
