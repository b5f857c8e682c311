//! Request ids: every request gets an id, and its response carries it.
//!
//! An `X-Request-Id` is kept if the peer is a trusted proxy (I4), and it is 1 to 64 characters of
//! `[A-Za-z0-9_-]` and given once, so that a request can be followed across services; any other
//! request gets a new ULID. tower-http's `SetRequestIdLayer` is not used because it keeps any id that
//! a client sends: such an id could forge a log line (L2), or repeat that of another request.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use goat_core::{Time, Timestamp};
use goat_tower::RequestId;
use goat_tower::address::{PeerAddress, TrustedProxies};
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::{Layer, Service};
use ulid::Ulid;

/// Layer that applies [`RequestIdService`].
#[derive(Clone, Debug)]
pub(crate) struct RequestIdLayer {
    proxies: TrustedProxies,
    time: Time,
}

impl RequestIdLayer {
    /// Creates the layer; new ids sort by this time.
    #[must_use]
    pub(crate) const fn new(proxies: TrustedProxies, time: Time) -> Self {
        Self { proxies, time }
    }
}

impl<S> Layer<S> for RequestIdLayer {
    type Service = RequestIdService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequestIdService { inner, layer: Arc::new(self.clone()) }
    }
}

/// Service that assigns request ids. See the [module](self).
#[derive(Clone, Debug)]
pub(crate) struct RequestIdService<S> {
    inner: S,
    layer: Arc<RequestIdLayer>,
}

impl RequestIdLayer {
    /// Returns the id of the request, if a trusted proxy sent it.
    fn given<B>(&self, request: &Request<B>) -> Option<RequestId> {
        let peer = PeerAddress::of(request.extensions())?.0.ip();
        self.proxies.contains(peer).then(|| RequestId::from_headers(request.headers()))?
    }
}

impl<S, A, B> Service<Request<A>> for RequestIdService<S>
where
    S: Service<Request<A>, Response = Response<B>>,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = RequestIdFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        let id = self.layer.given(&request).or_else(|| generate(self.layer.time.now()));
        if let Some(id) = &id {
            request.extensions_mut().insert(id.clone());
        }
        RequestIdFuture { inner: self.inner.call(request), id }
    }
}

/// Generates an id.
fn generate(now: Timestamp) -> Option<RequestId> {
    let milliseconds = u64::try_from(now.as_millis()).unwrap_or(0);
    let id = Ulid::from_parts(milliseconds, random());
    let mut text = [0; ulid::ULID_LEN];
    RequestId::new(id.array_to_str(&mut text))
}

/// Returns random bits. An id is no secret, so the system is asked once for many of them. If it has no
/// randomness, ids may not be unique, but requests continue.
fn random() -> u128 {
    thread_local! {
        /// Random bytes, and how many of them are used.
        static POOL: RefCell<([u8; POOL_SIZE], usize)> =
            const { RefCell::new(([0; POOL_SIZE], POOL_SIZE)) };
    }
    POOL.with_borrow_mut(|(bytes, used)| {
        if *used == POOL_SIZE {
            let _ = getrandom::fill(bytes);
            *used = 0;
        }
        let mut next = [0; 16];
        next.copy_from_slice(&bytes[*used..*used + 16]);
        *used += 16;
        u128::from_le_bytes(next)
    })
}

/// Randomness of 64 ids, in bytes.
const POOL_SIZE: usize = 64 * 16;

pin_project! {
    /// Response future of [`RequestIdService`].
    #[derive(Debug)]
    pub(crate) struct RequestIdFuture<F> {
        #[pin]
        inner: F,
        id: Option<RequestId>,
    }
}

impl<F, B, E> Future for RequestIdFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx))?;
        if let Some(id) = this.id {
            response.headers_mut().insert(RequestId::HEADER, id.to_header());
        }
        Poll::Ready(Ok(response))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::collections::HashSet;

    #[test]
    fn new_id_is_a_unique_ulid() {
        let ids: HashSet<_> = (0..100)
            .map(|_| generate(Timestamp::from_seconds(1_767_225_600)).expect("an id").to_string())
            .collect();
        assert_eq!(ids.len(), 100);
        assert!(ids.iter().all(|id| id.len() == 26 && id.starts_with("01KDVD")), "{ids:?}");
    }
}
