//! What goat's layers allocate for one request, to the allocation. A binary of its own, since it
//! counts in the place of the global allocator.
//!
//! Counted is what lies between the request, ready to be sent, and the response: the inner service
//! allocates nothing. The request is a usual one: an `Authorization` header, and its peer in the
//! extensions. The session is in the cache, and the limits have met their key before.
//!
//! The numbers are in the crate documentation, under "Guarantees of every layer".

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use goat_core::testing::{TestGoat, TestUser};
use goat_core::{Permission, Quota};
use goat_tower::address::{ClientAddressLayer, PeerAddress};
use goat_tower::{GoatExt, LimitDecisions};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower::{Layer, Service, service_fn};

const REPORTS: Permission = Permission::new("report:read");

/// How many each limit here lets through, and after how many its log has grown as long as it will.
const PLENTY: u32 = 1000;
const GROWN: u32 = 600;

/// A request brings along what it is to be answered.
type Sent = Response<Full<Bytes>>;

fn request(user: Option<&TestUser>) -> Request<Sent> {
    let peer = PeerAddress(SocketAddr::from(([192, 0, 2, 7], 4711)));
    let mut builder = Request::builder().uri("/reports").extension(peer);
    if let Some(user) = user {
        builder = builder.header("authorization", user.bearer());
    }
    builder.body(Response::default()).expect("a request")
}

/// Answers at once, and allocates nothing.
fn inner() -> impl Service<
    Request<Sent>,
    Response = Sent,
    Error = Infallible,
    Future = Ready<Result<Sent, Infallible>>,
> + Clone {
    service_fn(|request: Request<Sent>| ready(Ok(request.into_body())))
}

/// How often memory is allocated while a request is answered, which takes one poll.
fn count<S, R>(service: &mut S, request: Request<Sent>, status: StatusCode) -> u64
where
    S: Service<Request<Sent>, Response = Response<R>, Error = Infallible>,
{
    let mut context = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut context).is_ready());
    let (mut request, mut answer) = (Some(request), None);
    let counted = allocation_counter::measure(|| {
        if let Some(request) = request.take()
            && let Poll::Ready(Ok(response)) = pin!(service.call(request)).poll(&mut context)
        {
            answer = Some(response);
        }
    });
    assert_eq!(answer.expect("an answer at the first poll").status(), status);
    counted.count_total
}

/// The same for one call of many, every one of which must come to the same.
fn steady<S, R>(mut service: S, request: impl Fn() -> Request<Sent>, status: StatusCode) -> u64
where
    S: Service<Request<Sent>, Response = Response<R>, Error = Infallible>,
{
    for _ in 0..GROWN {
        count(&mut service, request(), status);
    }
    let first = count(&mut service, request(), status);
    for _ in 0..100 {
        assert_eq!(
            count(&mut service, request(), status),
            first,
            "not every call is like the next"
        );
    }
    first
}

/// Somebody who is signed in, and whom the cache knows.
async fn known(test: &TestGoat, name: &str, may: impl IntoIterator<Item = Permission>) -> TestUser {
    let user = test.sign_in(name, may).await;
    test.goat.authenticate_token(user.access_token()).await.expect("a principal");
    user
}

#[test]
fn the_inner_service_and_the_measuring_allocate_nothing() {
    assert_eq!(steady(inner(), || request(None), StatusCode::OK), 0);
}

#[tokio::test]
async fn an_allowed_request_makes_as_many_allocations_as_the_documentation_says() {
    let test = TestGoat::new();
    let alice = known(&test, "alice", [REPORTS]).await;
    let goat = &test.goat;
    let of_alice = || request(Some(&alice));
    // Each counts by itself.
    let address = |name| goat.limit(Quota::per_hour(PLENTY)).by_address().named(name);
    let user = |name| goat.limit(Quota::per_hour(PLENTY)).by_user().named(name);
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
    let three = |name| authenticate.layer(require.layer(user(name).layer(inner())));
    let stack = |a, b| address(a).layer(three(b));
    let admit = goat.authenticate().limited(address("f"), user("g"));

    let counted = [
        ("authenticate", steady(authenticate.layer(inner()), of_alice, allowed)),
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
            "optional, and a stranger",
            steady(goat.authenticate().optional().layer(inner()), || request(None), allowed),
        ),
        ("client address", steady(ClientAddressLayer::new().layer(inner()), of_alice, allowed)),
        ("limit", steady(address("a").layer(inner()), of_alice, allowed)),
        ("limit, inside of a collector", steady(address("b").layer(inner()), collecting, allowed)),
        ("authenticate, require, limit", steady(three("c"), of_alice, allowed)),
        ("limit, authenticate, require, limit", steady(stack("d", "e"), of_alice, allowed)),
        ("admit with two limits", steady(admit.layer(inner()), of_alice, allowed)),
    ];
    let documented = [
        ("authenticate", 3),
        ("require", 3),
        ("authenticate, require", 3),
        ("authenticate, a response with headers", 1),
        ("optional, and a stranger", 0),
        ("client address", 1),
        ("limit", 7),
        ("limit, inside of a collector", 0),
        ("authenticate, require, limit", 8),
        ("limit, authenticate, require, limit", 8),
        ("admit with two limits", 8),
    ];
    assert_eq!(counted, documented, "what changes here is to change in the crate's documentation");
}

#[tokio::test]
async fn a_refused_request_makes_as_many_allocations_as_the_documentation_says() {
    let test = TestGoat::new();
    let goat = &test.goat;
    let bob = known(&test, "bob", []).await;
    let (authenticate, require) = (goat.authenticate(), goat.require(REPORTS));
    let spent = goat.limit(Quota::per_hour(1)).by_address().layer(inner());
    count(&mut spent.clone(), request(None), StatusCode::OK);

    let unauthorized = StatusCode::UNAUTHORIZED;
    let counted = [
        ("no token", steady(authenticate.layer(inner()), || request(None), unauthorized)),
        (
            "a permission is missing",
            steady(require.layer(inner()), || request(Some(&bob)), StatusCode::FORBIDDEN),
        ),
        ("a quota is spent", steady(spent, || request(None), StatusCode::TOO_MANY_REQUESTS)),
    ];
    let documented = [("no token", 18), ("a permission is missing", 29), ("a quota is spent", 32)];
    assert_eq!(counted, documented, "what changes here is to change in the crate's documentation");
}
