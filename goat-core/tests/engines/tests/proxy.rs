//! The proxy fails at the chosen message, and nowhere else.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use goat_engines::{Cut, Proxy, Redis};

/// Longer than a reply takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// Long enough to conclude that no reply comes.
const SILENCE: Duration = Duration::from_millis(100);

/// An echo server, and the messages that it received.
fn echo() -> (SocketAddr, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (sender, received) = channel();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, sender) = (client.expect("a client"), sender.clone());
            std::thread::spawn(move || {
                let mut buffer = [0; 100];
                while let Ok(size @ 1..) = client.read(&mut buffer) {
                    if sender.send(buffer[..size].to_vec()).is_err()
                        || client.write_all(&buffer[..size]).is_err()
                    {
                        return;
                    }
                }
                let _ = sender.send(b"(end)".to_vec());
            });
        }
    });
    (address, received)
}

fn connect(proxy: &Proxy) -> TcpStream {
    let client = TcpStream::connect(proxy.address()).expect("the proxy listens");
    client.set_read_timeout(Some(LIMIT)).expect("a limit");
    client
}

fn send(client: &mut TcpStream, text: &str) {
    client.write_all(text.as_bytes()).expect("it can be sent");
}

/// A read with a timeout can be interrupted by any signal.
fn read(client: &mut TcpStream, buffer: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match client.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            ended => return ended,
        }
    }
}

/// Returns the reply; empty if the connection was cut.
fn receive(client: &mut TcpStream) -> String {
    let mut buffer = [0; 100];
    match read(client, &mut buffer) {
        Ok(size) => String::from_utf8_lossy(&buffer[..size]).into_owned(),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => String::new(),
        Err(error) => panic!("neither a reply nor the end: {error}"),
    }
}

fn request(client: &mut TcpStream, text: &str) -> String {
    send(client, text);
    receive(client)
}

fn receives_nothing(client: &mut TcpStream) -> bool {
    client.set_read_timeout(Some(SILENCE)).expect("a limit");
    let received = read(client, &mut [0; 100]);
    client.set_read_timeout(Some(LIMIT)).expect("a limit");
    received.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

fn wait_until(holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LIMIT, "the condition never held");
        std::thread::yield_now();
    }
}

fn next_message(server: &Receiver<Vec<u8>>) -> String {
    let bytes = server.recv_timeout(LIMIT).expect("a message");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn without_a_fault_messages_pass_and_are_counted() {
    let (server, _received) = echo();
    let proxy = Proxy::start(server);
    let (mut one, mut other) = (connect(&proxy), connect(&proxy));
    for turn in 1..=20 {
        assert_eq!(request(&mut one, "one"), "one");
        assert_eq!(request(&mut other, "other"), "other");
        assert_eq!(proxy.count(), turn * 2);
    }
    assert_eq!(proxy.connections(), 2);
    assert!(!proxy.has_triggered());
}

#[test]
fn a_message_cut_before_forwarding_does_not_reach_the_server() {
    let (server, received) = echo();
    let proxy = Proxy::start(server);
    let mut bystander = connect(&proxy);
    let mut client = connect(&proxy);
    assert_eq!(request(&mut client, "a"), "a");
    proxy.cut_at(2, Cut::BeforeForwarding);
    assert_eq!(request(&mut client, "b"), "b");
    assert!(!proxy.has_triggered());
    assert_eq!(request(&mut client, "c"), "");
    assert!(proxy.has_triggered());
    assert_eq!(
        [next_message(&received), next_message(&received), next_message(&received)],
        ["a", "b", "(end)"]
    );
    // Only one connection is cut, once.
    assert_eq!(request(&mut bystander, "d"), "d");
    assert_eq!(request(&mut connect(&proxy), "e"), "e");
}

#[test]
fn a_message_cut_before_its_reply_reaches_the_server() {
    let (server, received) = echo();
    let proxy = Proxy::start(server);
    let mut client = connect(&proxy);
    proxy.cut_at(1, Cut::BeforeAnswer);
    assert_eq!(request(&mut client, "a"), "");
    assert!(proxy.has_triggered());
    assert_eq!([next_message(&received), next_message(&received)], ["a", "(end)"]);
    assert_eq!(request(&mut connect(&proxy), "b"), "b");
}

#[test]
fn a_write_whose_reply_is_cut_takes_effect() {
    let redis = Redis::shared();
    let key = Redis::prefix();
    let proxy = Proxy::start(redis.address());
    let command = format!("INCR {key}\r\n");
    proxy.cut_at(2, Cut::BeforeAnswer);
    let mut client = connect(&proxy);
    assert_eq!(request(&mut client, &command), ":1\r\n");
    assert_eq!(request(&mut client, &command), "");
    assert_eq!(redis.cli(&["GET", &key]), "2");
    proxy.cut_at(1, Cut::BeforeForwarding);
    assert_eq!(request(&mut connect(&proxy), &command), "");
    assert_eq!(redis.cli(&["GET", &key]), "2");
}

#[test]
fn a_black_hole_drops_all_traffic_and_keeps_connections_open() {
    let (server, received) = echo();
    let proxy = Proxy::start(server);
    let (mut client, mut bystander) = (connect(&proxy), connect(&proxy));
    let mut idle = connect(&proxy);
    assert_eq!(request(&mut idle, "idle"), "idle");
    assert_eq!(request(&mut bystander, "early"), "early");
    proxy.black_hole_at(2);
    assert_eq!(request(&mut client, "a"), "a");
    assert!(!proxy.has_triggered());
    send(&mut client, "b");
    assert!(receives_nothing(&mut client));
    assert!(proxy.has_triggered());
    send(&mut bystander, "c");
    assert!(receives_nothing(&mut bystander));
    let mut late = connect(&proxy);
    send(&mut late, "d");
    assert!(receives_nothing(&mut late));
    wait_until(|| proxy.count() == 6 && proxy.connections() == 4);
    assert_eq!(
        [next_message(&received), next_message(&received), next_message(&received)],
        ["idle", "early", "a"]
    );
    assert!(received.try_recv().is_err(), "the server received neither a message nor the end");

    proxy.heal();
    // Connections that lost data are cut; others continue.
    for client in [&mut client, &mut bystander, &mut late] {
        assert_eq!(receive(client), "");
    }
    assert_eq!(request(&mut idle, "e"), "e");
    assert_eq!(request(&mut connect(&proxy), "f"), "f");
}

#[test]
fn a_black_hole_drops_replies_and_ends_of_streams() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let proxy = Proxy::start(listener.local_addr().expect("an address"));
    let mut client = connect(&proxy);
    let (mut server, _) = listener.accept().expect("the proxy connects");
    send(&mut client, "a");
    assert_eq!(receive(&mut server), "a");
    proxy.black_hole();
    send(&mut server, "a reply in transit");
    assert!(receives_nothing(&mut client));
    drop(client);
    assert!(receives_nothing(&mut server), "the server does not see that the client disconnected");
    proxy.heal();
    assert_eq!(receive(&mut server), "");
}

#[test]
fn refuse_cuts_all_connections_and_rejects_new_ones() {
    let (server, received) = echo();
    let proxy = Proxy::start(server);
    let (mut one, mut other) = (connect(&proxy), connect(&proxy));
    assert_eq!(request(&mut one, "one"), "one");
    assert_eq!(request(&mut other, "other"), "other");
    proxy.refuse();
    assert_eq!(receive(&mut one), "");
    assert_eq!(receive(&mut other), "");
    assert_eq!(receive(&mut connect(&proxy)), "");
    assert_eq!(
        [
            next_message(&received),
            next_message(&received),
            next_message(&received),
            next_message(&received)
        ],
        ["one", "other", "(end)", "(end)"]
    );
    proxy.heal();
    assert_eq!(request(&mut connect(&proxy), "a"), "a");
}

#[test]
fn replies_are_delayed() {
    let (server, received) = echo();
    let proxy = Proxy::start(server);
    let mut client = connect(&proxy);
    proxy.delay(SILENCE);
    let begun = Instant::now();
    assert_eq!(request(&mut client, "a"), "a");
    assert!(begun.elapsed() >= SILENCE);
    proxy.delay(LIMIT * 100);
    send(&mut client, "b");
    assert_eq!(
        [next_message(&received), next_message(&received)],
        ["a", "b"],
        "only the reply is delayed"
    );
    assert!(receives_nothing(&mut client));
    proxy.heal();
    assert_eq!(receive(&mut client), "b");
    assert_eq!(request(&mut client, "c"), "c");
}

#[test]
fn filtered_messages_pass_without_effect() {
    let (server, _received) = echo();
    let proxy = Proxy::start(server);
    let mut client = connect(&proxy);
    proxy.count_only(|message| message.starts_with(b"write"));
    proxy.cut_at(2, Cut::BeforeForwarding);
    for text in ["read", "write 1", "read", "read"] {
        assert_eq!(request(&mut client, text), text);
    }
    assert_eq!(proxy.count(), 1);
    assert_eq!(request(&mut client, "write 2"), "");
    assert_eq!(proxy.count(), 2);
}

#[test]
fn a_client_that_stops_writing_still_receives_its_reply() {
    let (server, _received) = echo();
    let proxy = Proxy::start(server);
    let mut client = connect(&proxy);
    proxy.delay(SILENCE);
    send(&mut client, "last");
    client.shutdown(std::net::Shutdown::Write).expect("an open socket");
    assert_eq!(receive(&mut client), "last");
    assert_eq!(receive(&mut client), "");
}

#[test]
fn a_dropped_proxy_cuts_its_connections() {
    let (server, _received) = echo();
    let proxy = Proxy::start(server);
    let mut client = connect(&proxy);
    assert_eq!(request(&mut client, "a"), "a");
    let address = proxy.address();
    drop(proxy);
    assert_eq!(receive(&mut client), "");
    TcpStream::connect(address).expect_err("the port is closed");
}

#[test]
fn a_url_is_rewritten_to_the_proxy() {
    let upstream = "127.0.0.1:1234".parse().expect("an address");
    let proxy = Proxy::start(upstream);
    let port = proxy.address().port();
    let url = proxy.url("postgres://goat:word@127.0.0.1:1234/base");
    assert_eq!(url, format!("postgres://goat:word@127.0.0.1:{port}/base"));
}
