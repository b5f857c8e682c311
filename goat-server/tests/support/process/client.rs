//! A blocking HTTP/1.1 client that can send malformed requests; one connection per call.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::TIMEOUT;

/// A response.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    /// The body as text.
    pub(crate) text: String,
    /// The body as JSON; `null` if it is not JSON.
    pub(crate) body: Value,
}

impl Response {
    /// The value of a header, or the empty string.
    pub(crate) fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut values = lines.filter(|(one, _)| one.eq_ignore_ascii_case(name));
        values.next().map_or("", |(_, value)| value)
    }

    /// The status and the code of the problem.
    pub(crate) fn failure(&self) -> (u16, &str) {
        (self.status, self.body["code"].as_str().unwrap_or_default())
    }

    /// The value of `Content-Length`.
    fn length(&self) -> usize {
        self.header("content-length").parse().unwrap_or(0)
    }
}

/// A client of the server at an address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Opens a connection.
    pub(crate) fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.address, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(stream)
    }

    /// Sends raw bytes and reads until the server closes. `None` if the connection broke before the
    /// last response was complete.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Option<Vec<Response>> {
        let mut stream = self.connect().ok()?;
        // The server may respond and close before it has read everything.
        let _ = stream.write_all(bytes);
        read_all(stream)
    }

    /// Sends a request with further headers. `None` if the connection broke before the complete
    /// response.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> Option<Response> {
        let length = body.len();
        let mut bytes = format!(
            "{method} {path} HTTP/1.1\r\nhost: goat\r\nconnection: close\r\n{headers}\
             content-length: {length}\r\n\r\n"
        )
        .into_bytes();
        bytes.extend_from_slice(body);
        let mut responses = self.raw(&bytes)?;
        let response = responses.pop()?;
        assert!(responses.is_empty(), "{method} {path}: {responses:?}");
        // Only a response to HEAD has a length and no body.
        (method == "HEAD" || response.text.len() == response.length()).then_some(response)
    }

    /// Sends a request with an optional token and JSON body. `None` if the connection broke before the
    /// complete response.
    pub(crate) fn call(
        &self,
        method: &str,
        path: &str,
        bearer: Option<&str>,
        body: Option<&Value>,
    ) -> Option<Response> {
        let mut headers = String::new();
        if let Some(token) = bearer {
            headers.push_str(&format!("authorization: Bearer {token}\r\n"));
        }
        if body.is_some() {
            headers.push_str("content-type: application/json\r\n");
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        self.send(method, path, &headers, body.as_bytes())
    }

    pub(crate) fn get(&self, path: &str, bearer: &str) -> Option<Response> {
        self.call("GET", path, Some(bearer), None)
    }

    pub(crate) fn post(&self, path: &str, bearer: Option<&str>, body: &Value) -> Option<Response> {
        self.call("POST", path, bearer, Some(body))
    }
}

/// The status of a GET without a token.
pub(crate) fn status(address: SocketAddr, path: &str) -> u16 {
    Client::new(address).call("GET", path, None, None).expect("a response").status
}

/// Reads responses until the server closes. `None` if the last one is incomplete.
pub(crate) fn read_all(mut stream: TcpStream) -> Option<Vec<Response>> {
    let mut bytes = Vec::new();
    // A reset after the responses does no harm.
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8(bytes).ok()?;
    let (mut responses, mut rest) = (Vec::new(), &*text);
    while let Some((head, after)) = rest.split_once("\r\n\r\n") {
        let mut response = Response {
            status: head.split(' ').nth(1)?.parse().ok()?,
            head: head.to_owned(),
            text: String::new(),
            body: Value::Null,
        };
        // The response to HEAD has a length and no body.
        let length = if after.is_empty() { 0 } else { response.length() };
        let (body, next) = after.split_at_checked(length)?;
        response.text = body.to_owned();
        response.body = serde_json::from_str(body).unwrap_or_default();
        responses.push(response);
        rest = next;
    }
    rest.is_empty().then_some(responses)
}
