//! Body types through every layer, over a connection.

use std::cell::Cell;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use goat_core::Quota;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tower::{BoxError, service_fn};

use crate::support::connection::{
    Client, VERSIONS, Version, all_layers, in_time, people, request, serve, with_body,
};

const WIDE: Quota = Quota::per_minute(100);

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([(
        http::HeaderName::from_static("x-checksum"),
        HeaderValue::from_static("42"),
    )])
}

/// The request's body is streamed back as the response's body.
#[tokio::test]
async fn bodies_are_streamed_with_trailers() {
    let echo = service_fn(async |request: Request<Incoming>| {
        let response = Response::builder().header("trailer", "x-checksum");
        Ok::<_, Infallible>(response.body(request.into_body()).unwrap())
    });
    for version in VERSIONS {
        let (test, alice, _) = people().await;
        let address = serve(version, all_layers(&test, WIDE, echo)).await;
        let mut client = Client::connect(version, address).await;
        let sent =
            Full::<Bytes>::from(vec![7; 200_000]).with_trailers(async { Some(Ok(trailers())) });
        let mut request = with_body(Some(&alice), sent);
        if version == Version::Http1 {
            // HTTP/1.1 sends trailers only in chunked bodies, and only if the client accepts them.
            let headers =
                [("te", "trailers"), ("trailer", "x-checksum"), ("transfer-encoding", "chunked")];
            for (name, value) in headers {
                request.headers_mut().insert(name, HeaderValue::from_static(value));
            }
        }
        let response = client.fetch(request).await;
        assert_eq!((response.status.as_u16(), response.body.len()), (200, 200_000), "{version:?}");
        assert_eq!(response.trailers, trailers(), "{version:?}");
    }
}

/// A body that fails after its first frame.
fn breaks() -> BoxBody<Bytes, BoxError> {
    struct Breaks(u8);

    impl Body for Breaks {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            self.0 += 1;
            match self.0 {
                1 => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"so far"))))),
                // Lets the first frame be sent.
                2..10 => {
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
                _ => Poll::Ready(Some(Err("it broke".into()))),
            }
        }
    }

    Breaks(0).boxed()
}

#[tokio::test]
async fn a_failing_body_aborts_the_response() {
    let inner =
        service_fn(async |_: Request<Incoming>| Ok::<_, Infallible>(Response::new(breaks())));
    for version in VERSIONS {
        let (test, alice, _) = people().await;
        let address = serve(version, all_layers(&test, WIDE, inner)).await;
        let mut client = Client::connect(version, address).await;
        let mut body = client.send(request(Some(&alice))).await.into_body();
        let first = in_time(body.frame()).await.unwrap().unwrap();
        assert_eq!(first.into_data().unwrap(), "so far");
        assert!(in_time(body.frame()).await.unwrap().is_err(), "{version:?}");
    }
}

#[tokio::test]
async fn boxed_bodies_with_trailers_coexist_with_denials() {
    let inner = service_fn(async |_: Request<Incoming>| {
        let body = Full::<Bytes>::from("answered").with_trailers(async { Some(Ok(trailers())) });
        Ok::<_, Infallible>(Response::new(body.boxed()))
    });
    let (test, alice, bob) = people().await;
    let address = serve(Version::Http2, all_layers(&test, WIDE, inner)).await;
    let mut client = Client::connect(Version::Http2, address).await;
    let response = client.fetch(request(Some(&alice))).await;
    assert_eq!((&response.body[..], &response.trailers), (b"answered" as &[u8], &trailers()));
    let response = client.fetch(request(Some(&bob))).await;
    assert_eq!((response.status.as_u16(), response.trailers.len()), (403, 0));
}

/// A body without `Sync`, `Clone`, `Default` or conversions, with its own data type.
struct Lonely {
    left: Cell<u8>,
}

impl Body for Lonely {
    type Data = std::io::Cursor<Vec<u8>>;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Infallible>>> {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        let piece = || Ok(Frame::data(std::io::Cursor::new(vec![b'0' + left])));
        Poll::Ready((left > 0).then(piece))
    }
}

#[tokio::test]
async fn bodies_need_no_sync_clone_or_bytes() {
    let inner = service_fn(async |_: Request<Incoming>| {
        Ok::<_, Infallible>(Response::new(Lonely { left: Cell::new(3) }))
    });
    for version in VERSIONS {
        let (test, alice, _) = people().await;
        let address = serve(version, all_layers(&test, WIDE, inner)).await;
        let mut client = Client::connect(version, address).await;
        let response = client.fetch(request(Some(&alice))).await;
        assert_eq!((response.status.as_u16(), &response.body[..]), (200, b"321" as &[u8]));
        assert_eq!(client.fetch(request(None)).await.status, 401);
    }
}
