//! The breaking relay breaks where it is told to, and nowhere else.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use goat_engines::{Cut, Proxy, Redis};

/// Longer than an answer takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(10);

/// Long enough to see that nothing comes.
const SILENCE: Duration = Duration::from_millis(100);

/// A server that answers every message with the same bytes, and what it got.
fn echo() -> (SocketAddr, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, tell) = (client.expect("a client"), tell.clone());
            std::thread::spawn(move || {
                let mut buffer = [0; 100];
                while let Ok(size @ 1..) = client.read(&mut buffer) {
                    if tell.send(buffer[..size].to_vec()).is_err()
                        || client.write_all(&buffer[..size]).is_err()
                    {
                        return;
                    }
                }
                let _ = tell.send(b"(end)".to_vec());
            });
        }
    });
    (address, told)
}

fn connect(proxy: &Proxy) -> TcpStream {
    let client = TcpStream::connect(proxy.address()).expect("the relay listens");
    client.set_read_timeout(Some(LIMIT)).expect("a limit");
    client
}

fn send(client: &mut TcpStream, text: &str) {
    client.write_all(text.as_bytes()).expect("it can be sent");
}

/// A read with a limit can be interrupted by any signal.
fn read(client: &mut TcpStream, buffer: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match client.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            ended => return ended,
        }
    }
}

/// The answer, empty where the connection was cut.
fn receive(client: &mut TcpStream) -> String {
    let mut buffer = [0; 100];
    match read(client, &mut buffer) {
        Ok(size) => String::from_utf8_lossy(&buffer[..size]).into_owned(),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => String::new(),
        Err(error) => panic!("neither answer nor end: {error}"),
    }
}

fn ask(client: &mut TcpStream, text: &str) -> String {
    send(client, text);
    receive(client)
}

fn hears_nothing(client: &mut TcpStream) -> bool {
    client.set_read_timeout(Some(SILENCE)).expect("a limit");
    let heard = read(client, &mut [0; 100]);
    client.set_read_timeout(Some(LIMIT)).expect("a limit");
    heard.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

fn until(yes: impl Fn() -> bool) {
    let begun = Instant::now();
    while !yes() {
        assert!(begun.elapsed() < LIMIT, "in vain waited for");
        std::thread::yield_now();
    }
}

fn got(server: &Receiver<Vec<u8>>) -> String {
    let bytes = server.recv_timeout(LIMIT).expect("the server gets something");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn without_a_fault_all_passes_and_is_counted() {
    let (server, _got) = echo();
    let proxy = Proxy::start(server);
    let (mut one, mut other) = (connect(&proxy), connect(&proxy));
    for turn in 1..=20 {
        assert_eq!(ask(&mut one, "one"), "one");
        assert_eq!(ask(&mut other, "other"), "other");
        assert_eq!(proxy.count(), turn * 2);
    }
    assert_eq!(proxy.connections(), 2);
    assert!(!proxy.has_struck());
}

#[test]
fn a_message_cut_before_forwarding_never_reaches_the_server() {
    let (server, told) = echo();
    let proxy = Proxy::start(server);
    let mut bystander = connect(&proxy);
    let mut client = connect(&proxy);
    assert_eq!(ask(&mut client, "a"), "a");
    proxy.cut_at(2, Cut::BeforeForwarding);
    assert_eq!(ask(&mut client, "b"), "b");
    assert!(!proxy.has_struck());
    assert_eq!(ask(&mut client, "c"), "");
    assert!(proxy.has_struck());
    assert_eq!([got(&told), got(&told), got(&told)], ["a", "b", "(end)"]);
    // One connection is cut, once.
    assert_eq!(ask(&mut bystander, "d"), "d");
    assert_eq!(ask(&mut connect(&proxy), "e"), "e");
}

#[test]
fn a_message_cut_before_its_answer_has_reached_the_server() {
    let (server, told) = echo();
    let proxy = Proxy::start(server);
    let mut client = connect(&proxy);
    proxy.cut_at(1, Cut::BeforeAnswer);
    assert_eq!(ask(&mut client, "a"), "");
    assert!(proxy.has_struck());
    assert_eq!([got(&told), got(&told)], ["a", "(end)"]);
    assert_eq!(ask(&mut connect(&proxy), "b"), "b");
}

#[test]
fn a_write_whose_answer_is_cut_has_been_done() {
    let redis = Redis::shared();
    let key = Redis::prefix();
    let proxy = Proxy::start(redis.address());
    let command = format!("INCR {key}\r\n");
    proxy.cut_at(2, Cut::BeforeAnswer);
    let mut client = connect(&proxy);
    assert_eq!(ask(&mut client, &command), ":1\r\n");
    assert_eq!(ask(&mut client, &command), "");
    assert_eq!(redis.cli(&["GET", &key]), "2");
    proxy.cut_at(1, Cut::BeforeForwarding);
    assert_eq!(ask(&mut connect(&proxy), &command), "");
    assert_eq!(redis.cli(&["GET", &key]), "2");
}

#[test]
fn in_a_black_hole_nothing_passes_and_nothing_ends_until_it_is_healed() {
    let (server, told) = echo();
    let proxy = Proxy::start(server);
    let (mut client, mut bystander) = (connect(&proxy), connect(&proxy));
    let mut idle = connect(&proxy);
    assert_eq!(ask(&mut idle, "idle"), "idle");
    assert_eq!(ask(&mut bystander, "early"), "early");
    proxy.black_hole_at(2);
    assert_eq!(ask(&mut client, "a"), "a");
    assert!(!proxy.has_struck());
    send(&mut client, "b");
    assert!(hears_nothing(&mut client));
    assert!(proxy.has_struck());
    send(&mut bystander, "c");
    assert!(hears_nothing(&mut bystander));
    let mut late = connect(&proxy);
    send(&mut late, "d");
    assert!(hears_nothing(&mut late));
    until(|| proxy.count() == 6 && proxy.connections() == 4);
    assert_eq!([got(&told), got(&told), got(&told)], ["idle", "early", "a"]);
    assert!(told.try_recv().is_err(), "the server has neither a message nor an end");

    proxy.heal();
    // What lost something is over; what lost nothing goes on.
    for client in [&mut client, &mut bystander, &mut late] {
        assert_eq!(receive(client), "");
    }
    assert_eq!(ask(&mut idle, "e"), "e");
    assert_eq!(ask(&mut connect(&proxy), "f"), "f");
}

#[test]
fn a_black_hole_takes_answers_and_ends_too() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let proxy = Proxy::start(listener.local_addr().expect("an address"));
    let mut client = connect(&proxy);
    let (mut server, _) = listener.accept().expect("the relay connects");
    send(&mut client, "a");
    assert_eq!(receive(&mut server), "a");
    proxy.black_hole();
    send(&mut server, "an answer that is under way");
    assert!(hears_nothing(&mut client));
    drop(client);
    assert!(hears_nothing(&mut server), "the server does not learn that the client left");
    proxy.heal();
    assert_eq!(receive(&mut server), "");
}

#[test]
fn refusal_cuts_all_connections_and_takes_no_new_one() {
    let (server, told) = echo();
    let proxy = Proxy::start(server);
    let (mut one, mut other) = (connect(&proxy), connect(&proxy));
    assert_eq!(ask(&mut one, "one"), "one");
    assert_eq!(ask(&mut other, "other"), "other");
    proxy.refuse();
    assert_eq!(receive(&mut one), "");
    assert_eq!(receive(&mut other), "");
    assert_eq!(receive(&mut connect(&proxy)), "");
    assert_eq!(
        [got(&told), got(&told), got(&told), got(&told)],
        ["one", "other", "(end)", "(end)"]
    );
    proxy.heal();
    assert_eq!(ask(&mut connect(&proxy), "a"), "a");
}

#[test]
fn answers_are_held_back_as_long_as_told() {
    let (server, told) = echo();
    let proxy = Proxy::start(server);
    let mut client = connect(&proxy);
    proxy.delay(SILENCE);
    let begun = Instant::now();
    assert_eq!(ask(&mut client, "a"), "a");
    assert!(begun.elapsed() >= SILENCE);
    proxy.delay(LIMIT * 100);
    send(&mut client, "b");
    assert_eq!([got(&told), got(&told)], ["a", "b"], "only the answer is held back");
    assert!(hears_nothing(&mut client));
    proxy.heal();
    assert_eq!(receive(&mut client), "b");
    assert_eq!(ask(&mut client, "c"), "c");
}

#[test]
fn messages_that_the_filter_leaves_out_pass_and_trip_nothing() {
    let (server, _told) = echo();
    let proxy = Proxy::start(server);
    let mut client = connect(&proxy);
    proxy.count_only(|message| message.starts_with(b"write"));
    proxy.cut_at(2, Cut::BeforeForwarding);
    for text in ["read", "write 1", "read", "read"] {
        assert_eq!(ask(&mut client, text), text);
    }
    assert_eq!(proxy.count(), 1);
    assert_eq!(ask(&mut client, "write 2"), "");
    assert_eq!(proxy.count(), 2);
}

#[test]
fn a_client_that_stops_writing_still_gets_its_answer() {
    let (server, _told) = echo();
    let proxy = Proxy::start(server);
    let mut client = connect(&proxy);
    proxy.delay(SILENCE);
    send(&mut client, "last");
    client.shutdown(std::net::Shutdown::Write).expect("an open socket");
    assert_eq!(receive(&mut client), "last");
    assert_eq!(receive(&mut client), "");
}

#[test]
fn a_dropped_relay_cuts_its_connections() {
    let (server, _told) = echo();
    let proxy = Proxy::start(server);
    let mut client = connect(&proxy);
    assert_eq!(ask(&mut client, "a"), "a");
    let address = proxy.address();
    drop(proxy);
    assert_eq!(receive(&mut client), "");
    TcpStream::connect(address).expect_err("nobody listens there any more");
}

#[test]
fn a_url_leads_to_the_relay_instead_of_the_engine() {
    let upstream = "127.0.0.1:1234".parse().expect("an address");
    let proxy = Proxy::start(upstream);
    let port = proxy.address().port();
    let url = proxy.url("postgres://goat:word@127.0.0.1:1234/base");
    assert_eq!(url, format!("postgres://goat:word@127.0.0.1:{port}/base"));
}
