//! Cancellation and store failures: every layer is dropped at every await, and fails at every store
//! call.
//!
//! The store calls are recorded, not listed: an undisturbed run records them, and each is then
//! blocked or failed once, before and after its effect. New calls of a layer are covered
//! automatically.

use std::sync::Arc;
use std::time::Duration;

use goat_core::limit::{LimitKey, LimitStore, StoreAcquire, StoreDecision, StoreReply};
use goat_core::store::memory::MemoryLimits;
use goat_core::store::{SessionStore, UserStore};
use goat_core::testing::{Failpoints, Point, TestGoat, TestUser};
use goat_core::{Actor, Permission, Quota, Stores};
use goat_tower::{GoatExt, RateLimitHeaders, ResponseBody};
use http::{Request, Response};
use tower::util::BoxCloneService;
use tower::{Layer, ServiceExt};

use crate::support::{EXPORTS, Odd, Probe, REPORTS, Seen, Sent, request};

/// Two calls that no layer makes, used as entry and exit points of the limits.
const ENTRY: &str = "sessions.ping";
const EXIT: &str = "users.ping";

/// Remote limits that can be blocked and failed like the other stores.
#[derive(Debug)]
struct PausedLimits {
    inner: Arc<MemoryLimits>,
    entry: Arc<dyn SessionStore>,
    exit: Arc<dyn UserStore>,
}

impl LimitStore for PausedLimits {
    fn acquire(&self, key: LimitKey, quota: Quota, elapsed: Duration) -> StoreAcquire {
        let inner = Arc::clone(&self.inner);
        self.paused(move || inner.acquire(key, quota, elapsed))
    }

    fn acquire_both(
        &self,
        counters: [(LimitKey, Quota); 2],
        elapsed: Duration,
    ) -> StoreReply<[StoreDecision; 2]> {
        let inner = Arc::clone(&self.inner);
        self.paused(move || inner.acquire_both(counters, elapsed))
    }

    fn reset(&self, key: LimitKey, quota: Quota) -> StoreReply<()> {
        let inner = Arc::clone(&self.inner);
        self.paused(move || inner.reset(key, quota))
    }
}

impl PausedLimits {
    fn paused<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> StoreReply<T> + Send + 'static,
    ) -> StoreReply<T> {
        let (entry, exit) = (Arc::clone(&self.entry), Arc::clone(&self.exit));
        StoreReply::Pending(Box::pin(async move {
            entry.ping().await?;
            let reply = call().wait().await?;
            exit.ping().await?;
            Ok(reply)
        }))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Authenticate,
    Optional,
    Require,
    RequireFresh,
    Limit,
    WithLimits,
    WithLimitsAndRequireFresh,
}
const KINDS: [Kind; 7] = [
    Kind::Authenticate,
    Kind::Optional,
    Kind::Require,
    Kind::RequireFresh,
    Kind::Limit,
    Kind::WithLimits,
    Kind::WithLimitsAndRequireFresh,
];

/// The client of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    /// Authorized.
    Alice,
    /// Not authorized.
    Bob,
    /// Signed out.
    Gone,
}
const CLIENTS: [Client; 3] = [Client::Alice, Client::Bob, Client::Gone];

type Service = BoxCloneService<Request<Sent>, Response<ResponseBody<Sent>>, Odd>;
type NestedBody = ResponseBody<ResponseBody<Sent>>;

/// A goat with an empty cache, after a change of the roles by another node.
struct World {
    test: TestGoat,
    failpoints: Failpoints,
    user: TestUser,
    service: Service,
    seen: Arc<Seen>,
}

async fn world(kind: Kind, client: Client) -> World {
    let (stores, failpoints) = Failpoints::over(Stores::memory());
    let limits = PausedLimits {
        inner: Arc::default(),
        entry: Arc::clone(&stores.sessions),
        exit: Arc::clone(&stores.users),
    };
    let stores = Stores { limits: Arc::new(limits), ..stores };
    // The other node's invalidations are not delivered.
    let disconnected = Stores { invalidations: Stores::memory().invalidations, ..stores.clone() };
    let test = TestGoat::build(stores, |builder| builder);
    let permissions = if client == Client::Bob { EXPORTS } else { REPORTS };
    let user = test.sign_in("client", [permissions]).await;
    if client == Client::Gone {
        let principal = test.goat.authenticate_token(user.access_token()).await.expect("one");
        test.goat.logout(&principal, &Default::default()).await.expect("signed out");
    }
    let other = TestGoat::build(disconnected, |builder| builder).goat;
    other.prepare().await.expect("a role table");
    let granted = Permission::new("node:other");
    other.roles().grant(Actor::system("test"), "client", granted).await.expect("granted");
    test.clock.advance(Duration::from_secs(10));

    let probe = Probe::default();
    let seen = Arc::clone(&probe.seen);
    let (service, _) = (service(kind, &test, probe), failpoints.take_calls());
    World { test, failpoints, user, service, seen }
}

fn service(kind: Kind, test: &TestGoat, probe: Probe) -> Service {
    let goat = &test.goat;
    let limit = goat.limit(Quota::per_minute(9)).headers(RateLimitHeaders::Legacy);
    let with_limits =
        || goat.authenticate().limited(limit.clone().by_address(), limit.clone().by_user());
    match kind {
        Kind::Authenticate => goat.authenticate().layer(probe).boxed_clone(),
        Kind::Optional => goat.authenticate().optional().layer(probe).boxed_clone(),
        Kind::Require => goat.require(REPORTS).layer(probe).boxed_clone(),
        Kind::RequireFresh => goat.require(REPORTS).fresh().layer(probe).boxed_clone(),
        Kind::Limit => limit.by_address().layer(probe).boxed_clone(),
        Kind::WithLimits => with_limits().layer(probe).boxed_clone(),
        Kind::WithLimitsAndRequireFresh => {
            let stack = with_limits().layer(goat.require(REPORTS).fresh().layer(probe));
            stack.map_response(|response| response.map(flatten)).boxed_clone()
        }
    }
}

/// Merges the nested body types; the bodies are not read here.
fn flatten(_: NestedBody) -> ResponseBody<Sent> {
    ResponseBody::default()
}

impl World {
    async fn fetch(&self) -> Response<ResponseBody<Sent>> {
        let response = self.service.clone().oneshot(request(Some(&self.user))).await;
        response.expect("a response")
    }

    /// Asserts that the session and its refresh token are intact, not half rotated.
    async fn assert_session_intact(&self) {
        let token = &self.user.tokens.refresh_token;
        let origin = Default::default();
        let rotated =
            self.test.goat.refresh(token, &origin).await.expect("an unused refresh token");
        self.test
            .goat
            .authenticate_token(rotated.tokens.access_token.expose())
            .await
            .expect("alive");
    }
}

/// A store call: its name, and the number of earlier calls of that name.
type Call = (&'static str, usize);

/// Returns the status and the store calls of an undisturbed request.
async fn undisturbed(kind: Kind, client: Client) -> (u16, Vec<Call>) {
    let world = world(kind, client).await;
    let status = world.fetch().await.status().as_u16();
    let calls = world.failpoints.take_calls();
    let before = |index: usize| calls[..index].iter().filter(|call| **call == calls[index]).count();
    (status, (0..calls.len()).map(|index| (calls[index], before(index))).collect())
}

/// Lets earlier calls pass, so that the next plan applies to the call itself.
fn let_earlier_calls_pass(failpoints: &Failpoints, (call, before): Call, point: Point) {
    for _ in 0..before {
        failpoints.hold(call, point).release();
    }
}

#[tokio::test]
async fn undisturbed_requests_have_the_expected_status_and_store_calls() {
    let (session, state) = (("sessions.find", 0), ("users.cached_state", 0));
    let roles = ("roles.cached", 0);
    let limit = [(ENTRY, 0), (EXIT, 0)];
    for (kind, statuses) in [
        (Kind::Authenticate, [202, 202, 401]),
        (Kind::Optional, [202, 202, 401]),
        (Kind::Require, [202, 403, 401]),
        (Kind::RequireFresh, [202, 403, 401]),
        (Kind::Limit, [202, 202, 202]),
        (Kind::WithLimits, [202, 202, 401]),
        (Kind::WithLimitsAndRequireFresh, [202, 403, 401]),
    ] {
        for (client, status) in CLIENTS.into_iter().zip(statuses) {
            let (actual, calls) = undisturbed(kind, client).await;
            assert_eq!(actual, status, "{kind:?} {client:?}");
            let mut expected = Vec::new();
            if kind != Kind::Limit {
                expected.extend([session, state]);
                expected.extend((client != Client::Gone).then_some(roles));
            }
            if matches!(kind, Kind::Limit | Kind::WithLimits | Kind::WithLimitsAndRequireFresh) {
                expected.extend(limit);
            }
            for call in expected {
                assert!(calls.contains(&call), "{kind:?} {client:?} {call:?}: {calls:?}");
            }
        }
    }
}

/// The inner service is not called, nothing stays reserved, each limit is charged once or not at
/// all, the session is intact, and a retry has the usual result.
#[tokio::test]
async fn a_request_dropped_at_any_await_has_no_further_effect() {
    for kind in KINDS {
        for client in CLIENTS {
            let (status, calls) = undisturbed(kind, client).await;
            for (call, point) in
                calls.iter().flat_map(|call| Point::ALL.map(|point| (*call, point)))
            {
                let place = format!("{kind:?} {client:?} {call:?} {point:?}");
                let world = world(kind, client).await;
                let_earlier_calls_pass(&world.failpoints, call, point);
                let held = world.failpoints.hold(call.0, point);
                tokio::select! {
                    response = world.fetch() => panic!("{place}: {}", response.status()),
                    () = held.reached() => {}
                }
                assert_eq!((world.seen.calls(), world.seen.reserved()), (0, 0), "{place}");
                held.release();
                // A layer that continues without the request would do so now.
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
                assert_eq!((world.seen.calls(), world.seen.reserved()), (0, 0), "{place}");

                let again = world.fetch().await;
                assert_eq!(again.status(), status, "{place}");
                let left = again.headers().get("x-ratelimit-remaining");
                assert!(left.is_none_or(|left| left == "8" || left == "7"), "{place}: {left:?}");
                if client != Client::Gone {
                    world.assert_session_intact().await;
                }
            }
        }
    }
}

/// O1, B8: for every failing call, before and after its effect, the response is neither a 401, a
/// 403 nor the inner service's.
#[tokio::test]
async fn a_failing_store_call_is_a_503() {
    for kind in KINDS {
        for client in CLIENTS {
            let (status, calls) = undisturbed(kind, client).await;
            for (call, point) in
                calls.iter().flat_map(|call| Point::ALL.map(|point| (*call, point)))
            {
                let place = format!("{kind:?} {client:?} {call:?} {point:?}");
                let world = world(kind, client).await;
                let_earlier_calls_pass(&world.failpoints, call, point);
                world.failpoints.fail(call.0, point);
                let response = world.fetch().await;
                assert_eq!(response.status(), 503, "{place}");
                assert_eq!(response.headers()["retry-after"], "1", "{place}");
                assert!(!response.headers().contains_key("www-authenticate"), "{place}");
                assert_eq!((world.seen.calls(), world.seen.reserved()), (0, 0), "{place}");

                assert_eq!(world.fetch().await.status(), status, "{place} after recovery");
            }
        }
    }
}
