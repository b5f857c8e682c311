//! gRPC rejections: trailers-only responses.
//!
//! HTTP 200, no body, and the outcome in `grpc-status` and `grpc-message` (gRPC over HTTP/2, "Responses").
//! This needs no gRPC library.

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, TE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version};

use crate::response::problem::Problem;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Returns the content type of the response if the request is gRPC or gRPC-Web, else `None`.
///
/// Every gRPC call is a `POST` over HTTP/2 with `te: trailers`. If the `Content-Type` sufficed, a rejection
/// would be a 200, and so an approval, for a proxy that queries for an authorization decision with its client's
/// headers. Such queries are HTTP/1.1, or lack `te`, which is a header of one connection and not forwarded.
pub(crate) fn content_type(request: &Parts) -> Option<HeaderValue> {
    let is_call = request.method == Method::POST
        && request.version == Version::HTTP_2
        && accepts_trailers(&request.headers);
    if !is_call {
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
        // gRPC-Web requires the response in the type of the request. Only a single type is accepted: of
        // `application/grpc-web, text/html` a browser takes the last.
        Some(b'-') if rest.iter().all(|byte| is_name_byte(*byte)) => {
            HeaderValue::from_bytes(media_type).ok()
        }
        Some(_) => None,
    }
}

/// Whether `te` lists `trailers` (RFC 9110 §10.1.4).
fn accepts_trailers(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(TE).iter();
    lists
        .flat_map(|list| list.as_bytes().split(|byte| *byte == b','))
        .any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// Whether a media type name may contain the byte (RFC 6838 §4.2).
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte)
}

/// Returns the trailers-only response that corresponds to a problem.
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

/// Returns the gRPC status of an HTTP status (google.rpc.Code).
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

/// Percent-encodes a `grpc-message`: everything but printable ASCII, and the percent sign.
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

    fn call(content_type_of_request: &'static str) -> Parts {
        let request = http::Request::post("/").version(Version::HTTP_2).header(TE, "trailers");
        let request = request.header(CONTENT_TYPE, content_type_of_request);
        request.body(()).expect("a request").into_parts().0
    }

    fn response_type(content_type_of_request: &'static str) -> Option<String> {
        content_type(&call(content_type_of_request))
            .map(|value| value.to_str().expect("ASCII").to_owned())
    }

    #[test]
    fn content_type_identifies_grpc() {
        for grpc in ["application/grpc", "Application/GRPC+proto", "application/grpc+json; q=1"] {
            assert_eq!(response_type(grpc).as_deref(), Some("application/grpc"), "{grpc}");
        }
        assert_eq!(
            response_type("application/grpc-web-text+proto; x").as_deref(),
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
            assert_eq!(response_type(other), None, "{other}");
        }
        let mut without = call("application/grpc");
        without.headers.remove(CONTENT_TYPE);
        assert_eq!(content_type(&without), None);
    }

    /// H6
    #[test]
    fn only_http2_with_te_trailers_is_grpc() {
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_3] {
            let mut request = call("application/grpc");
            request.version = version;
            assert_eq!(content_type(&request), None, "{version:?}");
        }
        for (te, expected) in [
            ("trailers", true),
            ("Trailers", true),
            ("gzip;q=0.5 , trailers", true),
            ("", false),
            ("gzip", false),
            ("trailers2", false),
            ("trailers;q=1", false),
        ] {
            let mut request = call("application/grpc");
            request.headers.insert(TE, HeaderValue::from_static(te));
            assert_eq!(content_type(&request).is_some(), expected, "{te:?}");
        }
        let mut request = call("application/grpc");
        request.headers.insert(TE, HeaderValue::from_static("gzip"));
        request.headers.append(TE, HeaderValue::from_static("trailers"));
        assert!(content_type(&request).is_some());
        request.headers.remove(TE);
        assert_eq!(content_type(&request), None);
    }

    #[test]
    fn message_is_percent_encoded() {
        assert_eq!(percent_encoded("100% \u{f6}k\r\n~"), "100%25 %C3%B6k%0D%0A~");
    }
}
