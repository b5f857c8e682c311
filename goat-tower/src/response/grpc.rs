//! Denials for gRPC callers, who read no problem documents: a trailers-only answer.
//!
//! HTTP 200, no body, and the outcome in `grpc-status` and `grpc-message` (gRPC over HTTP/2,
//! "Responses"). No gRPC library is needed for it, or for telling such a request.

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};

use crate::response::problem::Problem;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// The content type to answer in if the caller speaks gRPC (or gRPC-Web), else `None`.
///
/// Every call of gRPC is a `POST`. Without that, a `Content-Type` alone would make a 200 of a denial:
/// for a proxy that asks by a `GET` with its client's headers whether to let somebody in, a yes.
pub(crate) fn content_type(request: &Parts) -> Option<HeaderValue> {
    if request.method != Method::POST {
        return None;
    }
    let value = request.headers.get(CONTENT_TYPE)?;
    let media_type = value.as_bytes().split(|byte| *byte == b';').next()?.trim_ascii();
    let (base, rest) = media_type.split_at_checked(b"application/grpc".len())?;
    if !base.eq_ignore_ascii_case(b"application/grpc") {
        return None;
    }
    match rest.first() {
        None | Some(b'+') => Some(HeaderValue::from_static("application/grpc")),
        // gRPC-Web has its own types and wants to be answered in the one it asked in. That is one type:
        // of `application/grpc-web, text/html` a browser takes the last.
        Some(b'-') if rest.iter().all(|byte| is_of_a_name(*byte)) => {
            HeaderValue::from_bytes(media_type).ok()
        }
        Some(_) => None,
    }
}

/// What the names of media types are made of (RFC 6838 §4.2).
fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte)
}

/// The trailers-only answer that says the same as the problem.
pub(crate) fn trailers_only(problem: &Problem, content_type: HeaderValue) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(GRPC_STATUS, HeaderValue::from(problem.grpc_status()));
    if let Ok(message) = HeaderValue::try_from(percent_encoded(problem.detail())) {
        headers.insert(GRPC_MESSAGE, message);
    }
    if let Some(seconds) = problem.retry_after_seconds() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The gRPC status that says what an HTTP status says (google.rpc.Code).
pub(crate) fn status(status: StatusCode) -> i32 {
    match status {
        StatusCode::BAD_REQUEST => 3,          // INVALID_ARGUMENT
        StatusCode::UNAUTHORIZED => 16,        // UNAUTHENTICATED
        StatusCode::FORBIDDEN => 7,            // PERMISSION_DENIED
        StatusCode::NOT_FOUND => 5,            // NOT_FOUND
        StatusCode::CONFLICT => 9,             // FAILED_PRECONDITION
        StatusCode::PAYLOAD_TOO_LARGE => 8,    // RESOURCE_EXHAUSTED
        StatusCode::TOO_MANY_REQUESTS => 8,    // RESOURCE_EXHAUSTED
        StatusCode::METHOD_NOT_ALLOWED => 12,  // UNIMPLEMENTED
        StatusCode::SERVICE_UNAVAILABLE => 14, // UNAVAILABLE
        _ if status.is_client_error() => 3,    // INVALID_ARGUMENT
        _ => 13,                               // INTERNAL
    }
}

/// Percent-encoding of `grpc-message`: all but printable ASCII, and the percent sign itself.
fn percent_encoded(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => text.push(char::from(byte)),
            _ => {
                // Writing to a String does not fail.
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked_in(content_type_of_request: &'static str) -> Option<String> {
        let request = http::Request::post("/").header(CONTENT_TYPE, content_type_of_request);
        let (request, ()) = request.body(()).expect("a request").into_parts();
        content_type(&request).map(|value| value.to_str().expect("ASCII").to_owned())
    }

    #[test]
    fn a_grpc_caller_is_told_by_the_content_type() {
        for grpc in ["application/grpc", "Application/GRPC+proto", "application/grpc+json; q=1"] {
            assert_eq!(asked_in(grpc).as_deref(), Some("application/grpc"), "{grpc}");
        }
        assert_eq!(
            asked_in("application/grpc-web-text+proto; x").as_deref(),
            Some("application/grpc-web-text+proto")
        );
        for other in [
            "",
            "application/grp",
            "application/grpcx",
            "application/json",
            "text/grpc",
            "application/grpc-web, text/html",
            "application/grpc-web text/html",
            "application/grpc-web/html",
        ] {
            assert_eq!(asked_in(other), None, "{other}");
        }
        let (request, ()) = http::Request::post("/").body(()).expect("a request").into_parts();
        assert_eq!(content_type(&request), None);
    }

    #[test]
    fn a_message_survives_the_header() {
        assert_eq!(percent_encoded("100% \u{f6}k\r\n~"), "100%25 %C3%B6k%0D%0A~");
    }
}
