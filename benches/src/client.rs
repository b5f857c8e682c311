//! Minimal HTTP/1.1 client with a persistent connection.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// A response.
pub struct Received {
    /// The status.
    pub status: u16,
    /// The lines of the headers.
    pub headers: Vec<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// A persistent connection.
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects.
    ///
    /// # Panics
    /// If the server does not accept.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
        Self { stream: BufReader::new(stream) }
    }

    /// Sends a request; returns the response's status and body.
    ///
    /// # Panics
    /// If the response is not complete.
    pub fn call(
        &mut self,
        method: &str,
        path: &str,
        token: &str,
        body: Option<&Value>,
    ) -> (u16, Value) {
        let Received { status, body, .. } = self.receive(method, path, token, body);
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// Sends a request; returns the response.
    ///
    /// # Panics
    /// If the response is not complete.
    pub fn receive(
        &mut self,
        method: &str,
        path: &str,
        token: &str,
        body: Option<&Value>,
    ) -> Received {
        let body = body.map(Value::to_string).unwrap_or_default();
        let kind = if body.is_empty() { "" } else { "content-type: application/json\r\n" };
        let bearer = match token {
            "" => String::new(),
            token => format!("authorization: Bearer {token}\r\n"),
        };
        let text = format!(
            "{method} {path} HTTP/1.1\r\nhost: goat\r\n{kind}{bearer}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(text.as_bytes()).expect("a sent request");
        let (mut status, mut length, mut headers) = (0, 0, Vec::new());
        for number in 0.. {
            let mut line = String::new();
            self.stream.read_line(&mut line).expect("a response");
            let line = line.trim_end();
            if number == 0 {
                status =
                    line.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status");
            } else if line.is_empty() {
                break;
            } else {
                if let Some(value) = line.strip_prefix("content-length: ") {
                    length = value.parse().expect("a length");
                }
                headers.push(line.to_owned());
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("a complete body");
        Received { status, headers, body }
    }

    /// Sends a GET; returns the status.
    ///
    /// # Panics
    /// Like [`Client::call`].
    pub fn get(&mut self, path: &str, token: &str) -> u16 {
        self.call("GET", path, token, None).0
    }
}
