//! Every layer, at every await: dropped there, and with the store failing there.
//!
//! What a layer calls is not listed here but watched: the first run, undisturbed, tells the calls,
//! and each of them is then held or broken once, before the store has seen it and after it has done
//! it. A call that a layer makes tomorrow is held and broken tomorrow.

use std::sync::Arc;
use std::time::Duration;

use goat_core::limit::{LimitKey, LimitStore, StoreAcquire};
use goat_core::store::memory::MemoryLimits;
use goat_core::store::{SessionStore, UserStore};
use goat_core::testing::{Failpoints, Point, TestGoat, TestUser};
use goat_core::{Actor, Permission, Quota, Stores};
use goat_tower::{GoatExt, ResponseBody};
use http::{Request, Response};
use tower::util::BoxCloneService;
use tower::{Layer, ServiceExt};

use crate::support::{EXPORTS, Odd, Probe, REPORTS, Seen, Sent, request};

/// Two calls that no layer makes, in which the limits here are entered and left.
const ENTERED: &str = "sessions.ping";
const LEFT: &str = "users.ping";

/// Limits elsewhere, held and broken as the other stores are.
#[derive(Debug)]
struct PausedLimits {
    inner: Arc<MemoryLimits>,
    entry: Arc<dyn SessionStore>,
    exit: Arc<dyn UserStore>,
}

impl LimitStore for PausedLimits {
    fn acquire(&self, key: LimitKey, quota: Quota, elapsed: Duration) -> StoreAcquire {
        let (inner, entry) = (Arc::clone(&self.inner), Arc::clone(&self.entry));
        let exit = Arc::clone(&self.exit);
        StoreAcquire::Pending(Box::pin(async move {
            entry.ping().await?;
            let spent = match inner.acquire(key, quota, elapsed) {
                StoreAcquire::Ready(spent) => spent,
                StoreAcquire::Pending(pending) => pending.await?,
            };
            exit.ping().await?;
            Ok(spent)
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
    Admit,
    AdmitAndRequireFresh,
}
const KINDS: [Kind; 7] = [
    Kind::Authenticate,
    Kind::Optional,
    Kind::Require,
    Kind::RequireFresh,
    Kind::Limit,
    Kind::Admit,
    Kind::AdmitAndRequireFresh,
];

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// May.
    Alice,
    /// May not.
    Bob,
    /// Has signed out.
    Gone,
}
const EVERYBODY: [Who; 3] = [Who::Alice, Who::Bob, Who::Gone];

type Service = BoxCloneService<Request<Sent>, Response<ResponseBody<Sent>>, Odd>;
type NestedBody = ResponseBody<ResponseBody<Sent>>;

/// A goat that remembers nothing, and of which another node has just changed the roles.
struct World {
    test: TestGoat,
    pauses: Failpoints,
    user: TestUser,
    service: Service,
    seen: Arc<Seen>,
}

async fn world(kind: Kind, who: Who) -> World {
    let (stores, pauses) = Failpoints::over(Stores::memory());
    let limits = PausedLimits {
        inner: Arc::default(),
        entry: Arc::clone(&stores.sessions),
        exit: Arc::clone(&stores.users),
    };
    let stores = Stores { limits: Arc::new(limits), ..stores };
    // The other node is not heard: its notices go elsewhere.
    let deaf = Stores { invalidations: Stores::memory().invalidations, ..stores.clone() };
    let test = TestGoat::build(stores, |builder| builder);
    let permissions = if who == Who::Bob { EXPORTS } else { REPORTS };
    let user = test.sign_in("somebody", [permissions]).await;
    if who == Who::Gone {
        let principal = test.goat.authenticate_token(user.access_token()).await.expect("one");
        test.goat.logout(&principal, &Default::default()).await.expect("signed out");
    }
    let other = TestGoat::build(deaf, |builder| builder).goat;
    other.prepare().await.expect("a role table");
    let granted = Permission::new("node:other");
    other.roles().grant(Actor::system("test"), "client", granted).await.expect("granted");
    test.clock.advance(Duration::from_secs(10));

    let probe = Probe::default();
    let seen = Arc::clone(&probe.seen);
    let (service, _) = (service(kind, &test, probe), pauses.take_calls());
    World { test, pauses, user, service, seen }
}

fn service(kind: Kind, test: &TestGoat, probe: Probe) -> Service {
    let goat = &test.goat;
    let limit = goat.limit(Quota::per_minute(9));
    let admit = || goat.authenticate().limited(limit.clone().by_address(), limit.clone().by_user());
    match kind {
        Kind::Authenticate => goat.authenticate().layer(probe).boxed_clone(),
        Kind::Optional => goat.authenticate().optional().layer(probe).boxed_clone(),
        Kind::Require => goat.require(REPORTS).layer(probe).boxed_clone(),
        Kind::RequireFresh => goat.require(REPORTS).fresh().layer(probe).boxed_clone(),
        Kind::Limit => limit.by_address().layer(probe).boxed_clone(),
        Kind::Admit => admit().layer(probe).boxed_clone(),
        Kind::AdmitAndRequireFresh => {
            let stack = admit().layer(goat.require(REPORTS).fresh().layer(probe));
            stack.map_response(|response| response.map(flatten)).boxed_clone()
        }
    }
}

/// Two layers' bodies as one: here nobody reads them.
fn flatten(_: NestedBody) -> ResponseBody<Sent> {
    ResponseBody::default()
}

impl World {
    async fn ask(&self) -> Response<ResponseBody<Sent>> {
        let asked = self.service.clone().oneshot(request(Some(&self.user))).await;
        asked.expect("an answer")
    }

    /// The session, and the refresh token, as they were: nothing is half rotated.
    async fn session_is_whole(&self) {
        let token = &self.user.tokens.refresh_token;
        let origin = Default::default();
        let rotated = self.test.goat.refresh(token, &origin).await.expect("it was not used before");
        self.test
            .goat
            .authenticate_token(rotated.tokens.access_token.expose())
            .await
            .expect("alive");
    }
}

/// A call that a layer makes: its name, and how many of that name came before.
type Call = (&'static str, usize);

/// The status without any disturbance, and the calls that it takes.
async fn undisturbed(kind: Kind, who: Who) -> (u16, Vec<Call>) {
    let world = world(kind, who).await;
    let status = world.ask().await.status().as_u16();
    let calls = world.pauses.take_calls();
    let before = |index: usize| calls[..index].iter().filter(|call| **call == calls[index]).count();
    (status, (0..calls.len()).map(|index| (calls[index], before(index))).collect())
}

/// Lets those pass that came before, so that what is planned next is for the call itself.
fn pass_those_before(pauses: &Failpoints, (call, before): Call, point: Point) {
    for _ in 0..before {
        pauses.hold(call, point).release();
    }
}

#[tokio::test]
async fn undisturbed_each_answers_what_it_should_and_asks_stores_for_it() {
    let (session, state) = (("sessions.find", 0), ("users.cached_state", 0));
    let roles = ("roles.cached", 0);
    let limit = [(ENTERED, 0), (LEFT, 0)];
    for (kind, statuses) in [
        (Kind::Authenticate, [202, 202, 401]),
        (Kind::Optional, [202, 202, 401]),
        (Kind::Require, [202, 403, 401]),
        (Kind::RequireFresh, [202, 403, 401]),
        (Kind::Limit, [202, 202, 202]),
        (Kind::Admit, [202, 202, 401]),
        (Kind::AdmitAndRequireFresh, [202, 403, 401]),
    ] {
        for (who, status) in EVERYBODY.into_iter().zip(statuses) {
            let (answered, calls) = undisturbed(kind, who).await;
            assert_eq!(answered, status, "{kind:?} {who:?}");
            let mut expected = Vec::new();
            if kind != Kind::Limit {
                expected.extend([session, state]);
                expected.extend((who != Who::Gone).then_some(roles));
            }
            if matches!(kind, Kind::Limit | Kind::Admit | Kind::AdmitAndRequireFresh) {
                expected.extend(limit);
            }
            for call in expected {
                assert!(calls.contains(&call), "{kind:?} {who:?} {call:?}: {calls:?}");
            }
        }
    }
}

/// Nothing came through, nothing is reserved, a limit was charged or not, the session is whole, and
/// who asks again is answered as if nothing had been.
#[tokio::test]
async fn a_request_that_is_dropped_at_any_await_is_gone() {
    for kind in KINDS {
        for who in EVERYBODY {
            let (status, calls) = undisturbed(kind, who).await;
            for (call, point) in
                calls.iter().flat_map(|call| Point::ALL.map(|point| (*call, point)))
            {
                let place = format!("{kind:?} {who:?} {call:?} {point:?}");
                let world = world(kind, who).await;
                pass_those_before(&world.pauses, call, point);
                let held = world.pauses.hold(call.0, point);
                tokio::select! {
                    response = world.ask() => panic!("{place}: {}", response.status()),
                    () = held.reached() => {}
                }
                assert_eq!((world.seen.calls(), world.seen.reserved()), (0, 0), "{place}");
                held.release();
                // Whoever goes on without the request does it now.
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
                assert_eq!((world.seen.calls(), world.seen.reserved()), (0, 0), "{place}");

                let again = world.ask().await;
                assert_eq!(again.status(), status, "{place}");
                let left = again.headers().get("x-ratelimit-remaining");
                assert!(left.is_none_or(|left| left == "8" || left == "7"), "{place}: {left:?}");
                if who != Who::Gone {
                    world.session_is_whole().await;
                }
            }
        }
    }
}

/// O1, B8: whatever fails, and whether or not it was done before it failed. Nobody is told that they
/// are somebody else or may not, and nobody is let in.
#[tokio::test]
async fn a_store_that_fails_at_any_call_is_a_503_and_nothing_else() {
    for kind in KINDS {
        for who in EVERYBODY {
            let (status, calls) = undisturbed(kind, who).await;
            for (call, point) in
                calls.iter().flat_map(|call| Point::ALL.map(|point| (*call, point)))
            {
                let place = format!("{kind:?} {who:?} {call:?} {point:?}");
                let world = world(kind, who).await;
                pass_those_before(&world.pauses, call, point);
                world.pauses.fail(call.0, point);
                let response = world.ask().await;
                assert_eq!(response.status(), 503, "{place}");
                assert_eq!(response.headers()["retry-after"], "1", "{place}");
                assert!(!response.headers().contains_key("www-authenticate"), "{place}");
                assert_eq!((world.seen.calls(), world.seen.reserved()), (0, 0), "{place}");

                assert_eq!(world.ask().await.status(), status, "{place}, and then it is back");
            }
        }
    }
}
