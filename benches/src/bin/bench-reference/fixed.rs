//! A fixed response, read from the standard input: the status, the headers, an empty line, the body.
//!
//! A server that sends the response of another one to the same request does the least that any server
//! could do for it: its CPU time is the floor of the other's.

use std::convert::Infallible;
use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;

/// The response.
#[derive(Clone)]
pub(crate) struct Fixed(Arc<Parts>);

struct Parts {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

impl Fixed {
    /// Reads the response.
    ///
    /// # Panics
    /// If it is malformed.
    pub(crate) fn read() -> Self {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).expect("a response");
        let (head, body) = text.split_once("\n\n").expect("a head and a body");
        let mut lines = head.lines();
        let status = lines.next().and_then(|status| status.parse().ok()).expect("a status");
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").expect("a header");
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            (name, HeaderValue::from_str(value).expect("a value"))
        };
        let headers = lines.map(header).collect();
        Self(Arc::new(Parts { status, headers, body: Bytes::from(body.to_owned()) }))
    }

    /// Responds.
    pub(crate) fn response(&self) -> Response<Full<Bytes>> {
        let parts = &*self.0;
        let mut response = Response::new(Full::new(parts.body.clone()));
        *response.status_mut() = parts.status;
        let headers = response.headers_mut();
        headers.reserve(parts.headers.len());
        for (name, value) in &parts.headers {
            headers.append(name.clone(), value.clone());
        }
        response
    }

    /// Responds to a request.
    pub(crate) async fn respond<B>(
        self,
        _: Request<B>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        Ok(self.response())
    }
}
