//! Number of allocations of goat's layers per request. A binary of its own, because it replaces the
//! global allocator.
//!
//! Allocations are counted from the prepared request to the response; the inner service makes none.
//! The request is typical: an `Authorization` header, and the peer in the extensions. The session
//! is cached, and the limits have seen their key.
//!
//! The numbers are in the crate documentation, under "Guarantees of every layer".

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use goat_core::key::{NewKey, Scopes};
use goat_core::testing::{TestGoat, TestUser};
use goat_core::{Permission, Quota};
use goat_tower::address::{ClientAddressLayer, PeerAddress};
use goat_tower::{GoatExt, LimitDecisions};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower::{Layer, Service, service_fn};

const REPORTS: Permission = Permission::new("report:read");

/// Quota of each limit, and the number of requests after which its log no longer grows.
const QUOTA: u32 = 1000;
const WARM_UP: u32 = 600;

/// The request's body is the response to return.
type Sent = Response<Full<Bytes>>;

fn request(user: Option<&TestUser>) -> Request<Sent> {
    let peer = PeerAddress(SocketAddr::from(([192, 0, 2, 7], 4711)));
    let mut builder = Request::builder().uri("/reports").extension(peer);
    if let Some(user) = user {
        builder = builder.header("authorization", user.bearer());
    }
    builder.body(Response::default()).expect("a request")
}

/// Inner service that responds at once, without allocating.
fn inner() -> impl Service<
    Request<Sent>,
    Response = Sent,
    Error = Infallible,
    Future = Ready<Result<Sent, Infallible>>,
> + Clone {
    service_fn(|request: Request<Sent>| ready(Ok(request.into_body())))
}

/// Counts the allocations of one request, which completes at the first poll.
fn count<S, R>(service: &mut S, request: Request<Sent>, status: StatusCode) -> u64
where
    S: Service<Request<Sent>, Response = Response<R>, Error = Infallible>,
{
    let mut context = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut context).is_ready());
    let (mut request, mut received) = (Some(request), None);
    let counted = allocation_counter::measure(|| {
        if let Some(request) = request.take()
            && let Poll::Ready(Ok(response)) = pin!(service.call(request)).poll(&mut context)
        {
            received = Some(response);
        }
    });
    assert_eq!(received.expect("a response at the first poll").status(), status);
    counted.count_total
}

/// Counts the allocations of a warmed-up service; all calls must have the same count.
fn steady<S, R>(mut service: S, request: impl Fn() -> Request<Sent>, status: StatusCode) -> u64
where
    S: Service<Request<Sent>, Response = Response<R>, Error = Infallible>,
{
    for _ in 0..WARM_UP {
        count(&mut service, request(), status);
    }
    let first = count(&mut service, request(), status);
    for _ in 0..100 {
        assert_eq!(
            count(&mut service, request(), status),
            first,
            "calls differ in their allocations"
        );
    }
    first
}

/// Signs a user in and caches the session.
async fn cached(
    test: &TestGoat,
    name: &str,
    may: impl IntoIterator<Item = Permission>,
) -> TestUser {
    let user = test.sign_in(name, may).await;
    test.goat.authenticate_token(user.access_token()).await.expect("a principal");
    user
}

#[test]
fn the_inner_service_and_the_measurement_do_not_allocate() {
    assert_eq!(steady(inner(), || request(None), StatusCode::OK), 0);
}

#[tokio::test]
async fn an_allowed_request_makes_the_documented_number_of_allocations() {
    let test = TestGoat::new();
    let alice = cached(&test, "alice", [REPORTS]).await;
    let goat = &test.goat;
    let of_alice = || request(Some(&alice));
    // Distinct names give the limits separate counters.
    let address = |name| goat.limit(Quota::per_hour(QUOTA)).by_address().named(name);
    let user = |name| goat.limit(Quota::per_hour(QUOTA)).by_user().named(name);
    let (authenticate, require) = (goat.authenticate(), goat.require(REPORTS));
    let allowed = StatusCode::OK;

    let collecting = || {
        let mut request = of_alice();
        let _ = LimitDecisions::collect(request.extensions_mut());
        request
    };
    let with_headers = || {
        let mut request = of_alice();
        let headers = request.body_mut().headers_mut();
        headers.insert("content-type", "application/json".parse().expect("a value"));
        request
    };
    let of_ipv6 = || {
        let mut request = of_alice();
        let peer = SocketAddr::from(([0x2001, 0xdb8, 0, 1, 0, 0, 0, 1], 4711));
        request.extensions_mut().insert(PeerAddress(peer));
        request
    };
    let three = |name| authenticate.layer(require.layer(user(name).layer(inner())));
    let stack = |a, b| address(a).layer(three(b));
    let with_limits = goat.authenticate().limited(address("f"), user("g"));

    // By an API key, which is cached from its second use.
    let me = goat.authenticate_token(alice.access_token()).await.expect("a session");
    let scopes = Scopes::only([REPORTS]).expect("a scope");
    let new = NewKey { name: "a program".to_owned(), scopes, expires_in: None };
    let recent = goat.require_recent(&me).await.expect("it is recent");
    let key = goat.keys().create(recent, new).await.expect("a key").secret;
    for _ in 0..2 {
        goat.authenticate_token(key.expose()).await.expect("a live key");
    }
    let by_key = || {
        let mut request = request(None);
        let bearer = format!("Bearer {}", key.expose());
        request.headers_mut().insert("authorization", bearer.parse().expect("a value"));
        request
    };

    let counted = [
        ("authenticate", steady(authenticate.layer(inner()), of_alice, allowed)),
        (
            "authenticate, require, by an API key",
            steady(authenticate.layer(require.layer(inner())), by_key, allowed),
        ),
        ("require", steady(require.layer(inner()), of_alice, allowed)),
        (
            "authenticate, require",
            steady(authenticate.layer(require.layer(inner())), of_alice, allowed),
        ),
        (
            "authenticate, a response with headers",
            steady(authenticate.layer(inner()), with_headers, allowed),
        ),
        (
            "optional, anonymous",
            steady(goat.authenticate().optional().layer(inner()), || request(None), allowed),
        ),
        ("client address", steady(ClientAddressLayer::new().layer(inner()), of_alice, allowed)),
        ("limit", steady(address("a").layer(inner()), of_alice, allowed)),
        ("limit, of an IPv6 client", steady(address("h").layer(inner()), of_ipv6, allowed)),
        ("limit, inside a collector", steady(address("b").layer(inner()), collecting, allowed)),
        ("authenticate, require, limit", steady(three("c"), of_alice, allowed)),
        ("limit, authenticate, require, limit", steady(stack("d", "e"), of_alice, allowed)),
        ("with_limits with two limits", steady(with_limits.layer(inner()), of_alice, allowed)),
    ];
    let documented = [
        ("authenticate", 3),
        ("authenticate, require, by an API key", 3),
        ("require", 3),
        ("authenticate, require", 3),
        ("authenticate, a response with headers", 1),
        ("optional, anonymous", 0),
        ("client address", 0),
        ("limit", 7),
        ("limit, of an IPv6 client", 7),
        ("limit, inside a collector", 1),
        ("authenticate, require, limit", 8),
        ("limit, authenticate, require, limit", 8),
        ("with_limits with two limits", 8),
    ];
    assert_eq!(counted, documented, "update the crate documentation too");
}

#[tokio::test]
async fn a_denied_request_makes_the_documented_number_of_allocations() {
    let test = TestGoat::new();
    let goat = &test.goat;
    let bob = cached(&test, "bob", []).await;
    let (authenticate, require) = (goat.authenticate(), goat.require(REPORTS));
    let exhausted = goat.limit(Quota::per_hour(1)).by_address().layer(inner());
    count(&mut exhausted.clone(), request(None), StatusCode::OK);

    let unauthorized = StatusCode::UNAUTHORIZED;
    let counted = [
        ("no token", steady(authenticate.layer(inner()), || request(None), unauthorized)),
        (
            "a permission is missing",
            steady(require.layer(inner()), || request(Some(&bob)), StatusCode::FORBIDDEN),
        ),
        ("an exhausted quota", steady(exhausted, || request(None), StatusCode::TOO_MANY_REQUESTS)),
    ];
    let documented =
        [("no token", 18), ("a permission is missing", 28), ("an exhausted quota", 30)];
    assert_eq!(counted, documented, "update the crate documentation too");
}
