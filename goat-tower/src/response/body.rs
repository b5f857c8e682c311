//! Response body of a guarded service: the inner body, or the bytes of a rejection.
//!
//! Invariants: frames, trailers, error and length of the inner body pass through, and the only bound on it is
//! `Body`. The data type is always [`Bytes`], which axum and tonic require: that costs nothing if
//! the inner body has `Bytes`, and one copy per frame otherwise.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// The body of the inner service, or of a rejection.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use goat_tower::ResponseBody;
    /// use http_body::Body;
    ///
    /// // The only bound on the inner body is `Body`: no `Default`, `From` or boxed error.
    /// let body = ResponseBody::<http_body_util::Empty<Bytes>>::denied("no");
    /// assert_eq!(body.size_hint().exact(), Some(2));
    /// ```
    ///
    /// An allowed and a rejected response:
    ///
    /// ```
    /// use goat_core::testing::TestGoat;
    /// use goat_tower::GoatExt;
    /// use http::{Request, Response};
    /// use http_body_util::{BodyExt, Full};
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let test = TestGoat::new();
    /// let alice = test.sign_in("alice", []).await;
    /// let service = test.goat.authenticate().layer(service_fn(async |_: Request<()>| {
    ///     Ok::<_, std::convert::Infallible>(Response::new(Full::new(&b"hello"[..])))
    /// }));
    ///
    /// let request = Request::builder().header("authorization", alice.bearer()).body(())?;
    /// let allowed = service.clone().oneshot(request).await?.into_body();
    /// assert_eq!(allowed.collect().await?.to_bytes(), "hello");
    ///
    /// let rejected = service.oneshot(Request::new(())).await?.into_body();
    /// assert!(rejected.collect().await?.to_bytes().starts_with(br#"{"type":"/errors/"#));
    /// # Ok(())
    /// # }
    /// ```
    #[derive(Clone, Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProjection]
    #[derive(Clone, Debug)]
    enum Kind<B> {
        Passed { #[pin] body: B },
        Denied { bytes: Bytes },
    }
}

impl<B> ResponseBody<B> {
    /// Wraps the body of the inner service.
    pub const fn passed(body: B) -> Self {
        Self { kind: Kind::Passed { body } }
    }

    /// Wraps the bytes of a rejection; they may be empty.
    pub fn denied(bytes: impl Into<Bytes>) -> Self {
        Self { kind: Kind::Denied { bytes: bytes.into() } }
    }
}

impl<B> ResponseBody<B> {
    /// Returns `passed` of the inner body, or `denied` of the bytes of a rejection: for an application
    /// with a body type that holds both.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use goat_tower::ResponseBody;
    /// use http_body_util::Full;
    ///
    /// let body = ResponseBody::passed(Full::from("a report"));
    /// let _: Full<Bytes> = body.map_either(|inner| inner, Full::new);
    /// ```
    pub fn map_either<T>(self, passed: impl FnOnce(B) -> T, denied: impl FnOnce(Bytes) -> T) -> T {
        match self.kind {
            Kind::Passed { body } => passed(body),
            Kind::Denied { bytes } => denied(bytes),
        }
    }
}

impl<B> Default for ResponseBody<B> {
    /// An empty body.
    fn default() -> Self {
        Self::denied(Bytes::new())
    }
}

impl<B: Body> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProjection::Passed { body } => body.poll_frame(context).map_ok(|frame| {
                // For `Bytes` this neither copies nor allocates.
                frame.map_data(|mut data| data.copy_to_bytes(data.remaining()))
            }),
            KindProjection::Denied { bytes } if bytes.is_empty() => Poll::Ready(None),
            KindProjection::Denied { bytes } => {
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Passed { body } => body.is_end_stream(),
            Kind::Denied { bytes } => bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Passed { body } => body.size_hint(),
            Kind::Denied { bytes } => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    use http::HeaderMap;
    use http_body_util::{BodyExt, Full};

    type Frames = VecDeque<Result<Frame<VecDeque<u8>>, Odd>>;

    pin_project! {
        /// An awkward body: its data is not `Bytes` and is in two pieces, its error does not implement
        /// `Error`, it has no `Default`, and it is not `Unpin`.
        struct Awkward {
            frames: Frames,
            #[pin]
            pinned: std::marker::PhantomPinned,
        }
    }

    #[derive(Debug, PartialEq)]
    struct Odd(u8);

    impl Body for Awkward {
        type Data = VecDeque<u8>;
        type Error = Odd;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<VecDeque<u8>>, Odd>>> {
            Poll::Ready(self.project().frames.pop_front())
        }
    }

    fn awkward(frames: impl Into<Frames>) -> Pin<Box<ResponseBody<Awkward>>> {
        let pinned = std::marker::PhantomPinned;
        Box::pin(ResponseBody::passed(Awkward { frames: frames.into(), pinned }))
    }

    #[tokio::test]
    async fn data_trailers_and_errors_pass_through() {
        // A ring buffer filled from both ends has its bytes in two pieces.
        let mut two_pieces = VecDeque::from(*b"lo");
        for byte in [b'l', b'e', b'h'] {
            two_pieces.push_front(byte);
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
        let mut body = awkward([
            Ok(Frame::data(two_pieces)),
            Ok(Frame::trailers(trailers.clone())),
            Err(Odd(7)),
        ]);
        let data = body.frame().await.expect("data").expect("no error").into_data();
        assert_eq!(data.expect("data"), "hello");
        let seen = body.frame().await.expect("trailers").expect("no error").into_trailers();
        assert_eq!(seen.expect("trailers"), trailers);
        assert_eq!(body.frame().await.expect("an error").expect_err("its error"), Odd(7));
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn bytes_are_not_copied() {
        let bytes = Bytes::from(vec![1; 4096]);
        let mut body = ResponseBody::passed(Full::new(bytes.clone()));
        let frame = body.frame().await.expect("a frame").expect("no error");
        assert_eq!(frame.into_data().expect("data").as_ptr(), bytes.as_ptr());
    }

    #[test]
    fn axum_accepts_it_as_a_response() {
        fn takes(_: impl axum::response::IntoResponse) {}
        takes(http::Response::new(ResponseBody::passed(axum::body::Body::empty())));
        takes(http::Response::new(ResponseBody::<Full<Bytes>>::denied("no")));
    }

    #[test]
    fn length_and_end_pass_through() {
        let body = ResponseBody::passed(Full::new(Bytes::from_static(b"abc")));
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(3), false));
        let body = ResponseBody::passed(Full::<Bytes>::default());
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(0), true));
        let body = awkward([]);
        assert_eq!((body.size_hint().upper(), body.is_end_stream()), (None, false));
    }

    #[tokio::test]
    async fn rejection_is_one_frame_of_known_length() {
        let mut body = Box::pin(ResponseBody::<Awkward>::default());
        assert!(body.is_end_stream());
        assert!(body.frame().await.is_none());
        let mut body = Box::pin(ResponseBody::<Awkward>::denied("{}"));
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(2), false));
        let frame = body.frame().await.expect("a frame").expect("no error");
        assert_eq!(frame.into_data().expect("data"), "{}");
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(0), true));
        assert!(body.frame().await.is_none());
    }
}
