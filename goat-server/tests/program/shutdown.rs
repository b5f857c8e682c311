//! Graceful shutdown.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::json as object;

use crate::support::process::{ADMIN, ADMIN_PASSWORD, Client, Program, json, message, status};

/// O3.
#[test]
fn signal_drains_and_exits_successfully() {
    for signal in ["TERM", "INT"] {
        let program = Program::new();
        let (mut server, address) = program.serve();
        // An incomplete request.
        let mut stream = TcpStream::connect(address).expect("it listens");
        write!(stream, "GET /api/health HTTP/1.1\r\nHost: goat\r\n").expect("sent");
        // The response shows that the other connection is accepted.
        assert_eq!(status(address, "/api/health"), 200);
        server.signal(signal);
        server.wait_for_message("draining");
        write!(stream, "\r\n").expect("sent");
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("a response and an end");
        assert!(response.starts_with("HTTP/1.1 200"), "{response}");
        let (status, output) = server.wait();
        assert_eq!(status, Some(0), "{output:?}");
        assert_eq!(message(&json(output.last().expect("a line"))), "stopped");
        assert!(TcpStream::connect(address).is_err());
    }
}

/// K7: maintenance records uses once a minute, and a graceful shutdown the last ones.
#[test]
fn uses_of_keys_are_recorded_at_shutdown() {
    let program = Program::new().with("GOAT_ADMIN_PASSWORD", ADMIN_PASSWORD);
    let sign_in = |client: &Client| {
        let credentials = object!({"email": ADMIN, "password": ADMIN_PASSWORD});
        let login = client.post("/api/v1/auth/login", None, &credentials).expect("a response");
        login.body["data"]["access_token"].as_str().expect("a token").to_owned()
    };
    let (server, address) = program.serve();
    let client = Client::new(address);
    let token = sign_in(&client);
    let new = object!({"name": "a program", "scopes": "*"});
    let created = client.post("/api/v1/keys", Some(&token), &new).expect("a response");
    let key = created.body["data"]["key"].as_str().expect("a key");
    assert_eq!(client.get("/api/v1/user", key).expect("a response").status, 200);
    server.stop();
    let (server, address) = program.serve();
    let client = Client::new(address);
    let keys = client.get("/api/v1/keys", &sign_in(&client)).expect("a response");
    assert!(keys.body["data"][0]["last_used_at"].is_string(), "{:?}", keys.body);
    server.stop();
}

/// O3.
#[test]
fn draining_server_is_not_ready_but_still_accepts() {
    let program = Program::new().with("GOAT_DRAIN_DELAY", "60s");
    let (mut server, address) = program.serve();
    server.signal("TERM");
    server.wait_for_message("draining");
    assert_eq!(status(address, "/api/ready"), 503);
    assert_eq!(status(address, "/api/health"), 200);
}

/// O3.
#[test]
fn second_signal_exits_immediately() {
    let program = Program::new().with("GOAT_DRAIN_DELAY", "60s");
    let (mut server, _) = program.serve();
    server.signal("TERM");
    server.wait_for_message("draining");
    server.signal("TERM");
    let (status, output) = server.wait();
    assert_eq!(status, Some(1), "{output:?}");
    output.iter().for_each(|line| drop(json(line)));
}
