//! A client that speaks to the program over loopback, one connection a call, and sends any bytes.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::PATIENCE;

/// What was answered.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    /// The body as text.
    pub(crate) text: String,
    /// The body as JSON; `null` where it is none.
    pub(crate) body: Value,
}

impl Response {
    /// A header, or the empty text.
    pub(crate) fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut values = lines.filter(|(one, _)| one.eq_ignore_ascii_case(name));
        values.next().map_or("", |(_, value)| value)
    }

    /// The status and the code of a failure.
    pub(crate) fn failure(&self) -> (u16, &str) {
        (self.status, self.body["code"].as_str().unwrap_or_default())
    }

    /// How long the body is to be, by the head.
    fn length(&self) -> usize {
        self.header("content-length").parse().unwrap_or(0)
    }
}

/// Speaks to the server at an address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// A connection.
    pub(crate) fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// Sends bytes as they are, and reads until the server closes. None if the connection broke
    /// before the last response was whole.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Option<Vec<Response>> {
        let mut stream = self.connect().ok()?;
        // The server may response and close before all of it was taken.
        let _ = stream.write_all(bytes);
        read_all(stream)
    }

    /// Makes a request with more headers than it needs. None if the connection broke before the
    /// complete response was there.
    pub(crate) fn ask(
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
        // A head alone is a response to HEAD; of any other it is what the connection left of one.
        (method == "HEAD" || response.text.len() == response.length()).then_some(response)
    }

    /// Makes a request with a token and JSON, or without. None if the connection broke before the
    /// complete response was there.
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
        self.ask(method, path, &headers, body.as_bytes())
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

/// Reads every response until the server closes. None if what came is not complete responses.
pub(crate) fn read_all(mut stream: TcpStream) -> Option<Vec<Response>> {
    let mut bytes = Vec::new();
    // A reset after the responses takes nothing from them.
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
