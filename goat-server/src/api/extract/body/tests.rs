//! Accepted and rejected bodies, and the precedence of errors.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use goat_core::Violation;
use http::HeaderName;
use http_body::Frame;
use http_body_util::Limited;

use super::*;
use crate::api::extract::{FromFields, Malformed, Refused};

#[derive(Debug)]
struct Note {
    text: String,
}

impl FromFields for Note {
    fn from_fields(fields: &mut Fields) -> Result<Self, Refused> {
        let text = fields.string("text");
        Ok(Self { text: text? })
    }
}

const JSON: (HeaderName, &str) = (CONTENT_TYPE, "application/json");

async fn read(headers: &[(HeaderName, &str)], body: impl Into<Body>) -> Result<Note, Rejection> {
    let mut request = Request::new(body.into());
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header's value");
        request.headers_mut().append(name, value);
    }
    Json::from_request(request, &()).await.map(|Json(note)| note)
}

/// Returns a body of exactly `length` bytes.
fn note(length: usize) -> String {
    format!(r#"{{"text":"{}"}}"#, "x".repeat(length - r#"{"text":""}"#.len()))
}

/// Returns a body in chunks, without a length, that counts the polled chunks.
fn pieces(pieces: Vec<io::Result<Frame<Bytes>>>) -> (Body, Arc<AtomicUsize>) {
    struct Pieces(std::vec::IntoIter<io::Result<Frame<Bytes>>>, Arc<AtomicUsize>);
    impl http_body::Body for Pieces {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
            self.1.fetch_add(1, Ordering::Relaxed);
            Poll::Ready(self.0.next())
        }
    }
    let asked = Arc::new(AtomicUsize::new(0));
    (Body::new(Pieces(pieces.into_iter(), Arc::clone(&asked))), asked)
}

fn data(text: impl Into<Bytes>) -> io::Result<Frame<Bytes>> {
    Ok(Frame::data(text.into()))
}

#[tokio::test]
async fn json_in_utf_8_is_read() {
    for media_type in [
        "application/json",
        "APPLICATION/Json",
        "application/json;charset=utf-8",
        "application/json; Charset=UTF-8",
        "application/json \t;\t charset=\"Utf-8\" ",
    ] {
        let note = read(&[(CONTENT_TYPE, media_type)], r#"{"text":"hé"}"#).await;
        assert_eq!(note.expect(media_type).text, "hé");
    }
}

#[tokio::test]
async fn any_other_media_type_is_unsupported() {
    for media_type in [
        "",
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json-patch+json",
        "application/problem+json",
        "application/jsonx",
        "application/ json",
        "application/json;",
        "application/json; ",
        "application/json; charset",
        "application/json; charset=",
        "application/json; charset=utf8",
        "application/json; charset=utf-16",
        "application/json; charset=iso-8859-1",
        "application/json; charset = utf-8",
        "application/json; charset=\"utf-8",
        "application/json; charset=utf-8\"",
        "application/json; charset=\"\"utf-8\"\"",
        "application/json; charset='utf-8'",
        "application/json; charset=utf-8; charset=utf-8",
        "application/json; charset=utf-8;",
        "application/json; version=1",
        "application/json; charset=utf-8, text/plain",
        "application/json, application/json",
        "application/json\u{a0}",
    ] {
        let refused = read(&[(CONTENT_TYPE, media_type)], r#"{"text":""}"#).await;
        assert_eq!(refused.expect_err(media_type), Rejection::MediaType, "{media_type}");
    }
    let none = read(&[], r#"{"text":""}"#).await;
    assert_eq!(none.expect_err("no type"), Rejection::MediaType);
    let twice = read(&[JSON, JSON], r#"{"text":""}"#).await;
    assert_eq!(twice.expect_err("two types"), Rejection::MediaType);
}

#[tokio::test]
async fn any_content_coding_is_unsupported() {
    for coding in ["gzip", "identity", "", "utf-8"] {
        let refused = read(&[JSON, (CONTENT_ENCODING, coding)], r#"{"text":""}"#).await;
        assert_eq!(refused.expect_err(coding), Rejection::ContentEncoding, "{coding}");
    }
}

/// H2
#[tokio::test]
async fn body_at_the_limit_is_read_and_one_byte_more_is_too_large() {
    assert!(read(&[JSON], note(BODY_LIMIT)).await.is_ok());
    assert_eq!(read(&[JSON], note(BODY_LIMIT + 1)).await.expect_err("long"), Rejection::TooLarge);
}

/// H2: a declared length counts only if it is too large.
#[tokio::test]
async fn declared_length_over_the_limit_is_rejected_before_reading() {
    for length in ["65537", "99999999999999999999999999"] {
        let (body, asked) = pieces(vec![data(note(20))]);
        let refused = read(&[JSON, (CONTENT_LENGTH, length)], body).await;
        assert_eq!(refused.expect_err(length), Rejection::TooLarge);
        assert_eq!(asked.load(Ordering::Relaxed), 0);
    }
    for length in ["-1", "+5", "0x10", "", "5, 5"] {
        let refused = read(&[JSON, (CONTENT_LENGTH, length)], note(20)).await;
        assert_eq!(refused.expect_err(length), Rejection::BrokenBody, "{length:?}");
    }
}

/// H2
#[tokio::test]
async fn body_size_is_enforced_while_streaming() {
    let piece = "x".repeat(BODY_LIMIT / 4);
    for declared in [None, Some((CONTENT_LENGTH, "5"))] {
        let headers: Vec<_> = [JSON].into_iter().chain(declared).collect();
        let (body, asked) = pieces((0..1_000).map(|_| data(piece.clone())).collect());
        assert_eq!(read(&headers, body).await.expect_err("endless"), Rejection::TooLarge);
        assert_eq!(asked.load(Ordering::Relaxed), 5, "the rest must not be asked for");
    }

    let exact = note(BODY_LIMIT);
    let halves = exact.split_at(BODY_LIMIT / 2);
    let (body, _) = pieces(vec![data(halves.0.to_owned()), data(""), data(halves.1.to_owned())]);
    assert!(read(&[JSON], body).await.is_ok());
}

#[tokio::test]
async fn trailers_are_ignored() {
    let mut trailers = HeaderMap::new();
    trailers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    let (body, _) = pieces(vec![data(note(20)), Ok(Frame::trailers(trailers))]);
    assert!(read(&[JSON], body).await.is_ok());
}

#[tokio::test]
async fn truncated_body_is_a_bad_request() {
    let (body, _) = pieces(vec![data(note(20)), Err(io::ErrorKind::UnexpectedEof.into())]);
    assert_eq!(read(&[JSON], body).await.expect_err("broken"), Rejection::BrokenBody);
}

#[tokio::test]
async fn smaller_limit_of_the_application_is_payload_too_large() {
    let body = Body::new(Limited::new(Body::from(note(200)), 100));
    assert_eq!(read(&[JSON], body).await.expect_err("limited"), Rejection::TooLarge);
}

#[tokio::test]
async fn errors_take_precedence_in_the_documented_order() {
    let long = "x".repeat(BODY_LIMIT + 1);
    let refused = read(&[(CONTENT_TYPE, "text/plain")], long.clone()).await;
    assert_eq!(refused.expect_err("type"), Rejection::MediaType);
    let refused = read(&[JSON], long).await;
    assert_eq!(refused.expect_err("length"), Rejection::TooLarge);
    for (body, reason) in [
        ("", Malformed::Empty),
        ("[]", Malformed::NotAnObject),
        (r#"{"other":1,"other":2}"#, Malformed::Repeated("other".to_owned())),
    ] {
        assert_eq!(read(&[JSON], body).await.expect_err(body), Rejection::Malformed(reason));
    }
    assert_eq!(
        read(&[JSON], r#"{"Text":1}"#).await.expect_err("members").violations(),
        [
            Violation::new("text", "is required"),
            Violation::new("Text", "is unknown; expected text"),
        ],
    );
}
