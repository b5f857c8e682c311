//! Request id, which correlates a response with the log.
//!
//! Invariant: 1 to 64 characters of `[A-Za-z0-9_-]`, so that an id from a client cannot forge a log line
//! or a header.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The id of a request, in the request's extensions. Problem documents show it.
///
/// ```
/// use goat_tower::RequestId;
/// use http::HeaderValue;
///
/// let id = RequestId::new(HeaderValue::from_static("order-17")).expect("a well-formed id");
/// assert_eq!(id.as_str(), "order-17");
/// assert_eq!(RequestId::new(HeaderValue::from_static("no spaces")), None);
/// ```
///
/// A middleware outside of goat's layers sets it; rejections show it, and handlers can read it:
///
/// ```
/// use goat_core::testing::TestGoat;
/// use goat_tower::{GoatExt, RequestId};
/// use http::{HeaderValue, Request, Response};
/// use http_body_util::{BodyExt, Empty};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let test = TestGoat::new();
/// let alice = test.sign_in("alice", []).await;
/// let layer = test.goat.authenticate();
/// let service = layer.layer(service_fn(async |request: Request<()>| {
///     let id = request.extensions().get::<RequestId>().expect("a request id");
///     let response = Response::builder().header(RequestId::HEADER, id.to_header());
///     response.body(Empty::<&[u8]>::new())
/// }));
/// let id = RequestId::new(HeaderValue::from_static("order-17")).expect("a well-formed id");
/// let request = || Request::builder().extension(id.clone());
///
/// let allowed = request().header("authorization", alice.bearer()).body(())?;
/// let allowed = service.clone().oneshot(allowed).await?;
/// assert_eq!(allowed.headers()["x-request-id"], "order-17");
///
/// let rejected = service.oneshot(request().body(())?).await?.into_body();
/// let document: serde_json::Value = serde_json::from_slice(&rejected.collect().await?.to_bytes())?;
/// assert_eq!(document["request_id"], "order-17");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RequestId {
    /// The characters, and zeros after them. Kept inline: every request has an id, and clones of it.
    characters: [u8; Self::LONGEST],
    length: u8,
}

impl RequestId {
    /// The header that carries it in requests and responses.
    pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

    const LONGEST: usize = 64;

    /// Creates an id; `None` if the value is not 1 to 64 characters of `[A-Za-z0-9_-]`.
    #[must_use]
    pub fn new(value: impl AsRef<[u8]>) -> Option<Self> {
        let value = value.as_ref();
        let is_safe = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if value.is_empty() || !value.iter().all(is_safe) {
            return None;
        }
        let mut characters = [0; Self::LONGEST];
        characters.get_mut(..value.len())?.copy_from_slice(value);
        Some(Self { characters, length: u8::try_from(value.len()).ok()? })
    }

    /// Returns the id of a request or response, if it carries exactly one and that is well-formed.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(Self::HEADER).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => Self::new(value),
            _ => None,
        }
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Never the default, since the characters are ASCII.
        str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// Returns the id as a header's value.
    #[must_use]
    pub fn to_header(&self) -> HeaderValue {
        // Never the default, for the same reason.
        HeaderValue::from_bytes(self.as_bytes()).unwrap_or(HeaderValue::from_static(""))
    }

    fn as_bytes(&self) -> &[u8] {
        &self.characters[..usize::from(self.length)]
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("RequestId").field(&self.as_str()).finish()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(value: &[u8]) -> Option<String> {
        let value = HeaderValue::from_bytes(value).expect("a header's value");
        RequestId::new(value).map(|id| id.to_string())
    }

    /// L2
    #[test]
    fn id_accepts_only_characters_that_are_safe_in_a_log() {
        assert_eq!(parsed(b"01J-a_Z").as_deref(), Some("01J-a_Z"));
        assert_eq!(parsed(&[b'a'; 64]).map(|id| id.len()), Some(64));
        for bad in [&b""[..], &[b'a'; 65], b"a b", b"a\tb", b"a.b", b"\xc3\xb6", b"a\"b", b"a;b"] {
            assert_eq!(parsed(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn repeated_header_yields_no_id() {
        let mut headers = HeaderMap::new();
        assert_eq!(RequestId::from_headers(&headers), None);
        headers.append(RequestId::HEADER, HeaderValue::from_static("a"));
        assert_eq!(RequestId::from_headers(&headers).expect("one id").as_str(), "a");
        headers.append(RequestId::HEADER, HeaderValue::from_static("b"));
        assert_eq!(RequestId::from_headers(&headers), None);
    }
}
