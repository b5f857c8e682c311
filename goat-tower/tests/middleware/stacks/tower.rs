//! tower's layers that reserve what they hand out, around goat's and within them, with denials and
//! allowed requests at once.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use goat_core::Quota;
use goat_core::testing::{TestGoat, TestUser};
use goat_tower::GoatExt;
use goat_tower::address::PeerAddress;
use http::{Request, Response};
use http_body_util::Full;
use tokio::sync::Semaphore;
use tower::buffer::BufferLayer;
use tower::limit::{ConcurrencyLimitLayer, GlobalConcurrencyLimitLayer};
use tower::load_shed::error::Overloaded;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};

use crate::support::connection::{REPORTS, in_time, people};

type Sent = Full<Bytes>;

fn request(user: Option<&TestUser>) -> Request<Sent> {
    let peer = PeerAddress(([192, 0, 2, 7], 4711).into());
    let mut builder = Request::builder().extension(peer);
    if let Some(user) = user {
        builder = builder.header("authorization", user.bearer());
    }
    builder.body(Full::default()).unwrap()
}

/// Counts how many are within at once, and gives way so that others come in if they can.
#[derive(Clone, Debug, Default)]
struct Crowd(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    within: AtomicUsize,
    most: AtomicUsize,
    served: AtomicUsize,
}

impl Crowd {
    fn service(
        &self,
    ) -> impl Service<Request<Sent>, Response = Response<Sent>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static {
        let counts = Arc::clone(&self.0);
        service_fn(move |_| {
            let counts = Arc::clone(&counts);
            async move {
                let within = counts.within.fetch_add(1, SeqCst) + 1;
                counts.most.fetch_max(within, SeqCst);
                for _ in 0..5 {
                    tokio::task::yield_now().await;
                }
                counts.within.fetch_sub(1, SeqCst);
                counts.served.fetch_add(1, SeqCst);
                Ok(Response::new(Full::default()))
            }
        })
    }
}

const CLIENTS: usize = 32;
const ROUNDS: usize = 20;
const PLACES: usize = 3;

/// Many clients, each of whom keeps its own clone as a connection does, and of whom some are denied
/// and idle afterwards with the clone in hand. Everybody gets the right answer, nobody waits forever,
/// and no more than there are places are within at once.
async fn crowd<S, R>(test: &TestGoat, alice: &TestUser, bob: &TestUser, crowd: &Crowd, service: S)
where
    S: Service<Request<Sent>, Response = Response<R>, Future: Send> + Clone + Send + 'static,
    S::Error: Into<BoxError> + Send,
    R: Send,
{
    let principal = test.goat.authenticate_token(alice.access_token()).await.unwrap();
    assert!(principal.may(&REPORTS));
    let everybody_done = Arc::new(tokio::sync::Barrier::new(CLIENTS));
    let clients = (0..CLIENTS).map(|client| {
        let (alice, bob, mut service) = (alice.clone(), bob.clone(), service.clone());
        let everybody_done = Arc::clone(&everybody_done);
        tokio::spawn(async move {
            for round in 0..ROUNDS {
                let (user, status) = match (client + round) % 4 {
                    0 | 1 => (Some(&alice), 200),
                    2 => (Some(&bob), 403),
                    _ => (None, 401),
                };
                let ready = service.ready().await.map_err(Into::into).unwrap();
                let answer = ready.call(request(user)).await.map_err(Into::into).unwrap();
                assert_eq!(answer.status(), status);
            }
            // Who is done keeps the instance that was called last.
            everybody_done.wait().await;
            drop(service);
        })
    });
    let clients: Vec<_> = clients.collect();
    for client in clients {
        in_time(client).await.unwrap();
    }
    assert_eq!(crowd.0.served.load(SeqCst), CLIENTS * ROUNDS / 2, "half of them may");
    let most = crowd.0.most.load(SeqCst);
    assert!(most <= PLACES, "{most} at once");
}

/// Every layer of goat's.
macro_rules! goat {
    ($test:expr) => {
        ServiceBuilder::new()
            .layer($test.goat.limit(Quota::per_hour(100_000)).by_address())
            .layer($test.goat.authenticate())
            .layer($test.goat.limit(Quota::per_hour(100_000)).by_user())
            .layer($test.goat.require(REPORTS))
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_concurrency_limit_within_is_not_starved_by_denials() {
    let (test, alice, bob) = people().await;
    let within = Crowd::default();
    // One for all clones, whether each is a layer's or the service's own.
    let stack = goat!(test).layer(GlobalConcurrencyLimitLayer::new(PLACES));
    crowd(&test, &alice, &bob, &within, stack.service(within.service())).await;

    let within = Crowd::default();
    let stack = goat!(test).layer(ConcurrencyLimitLayer::new(PLACES));
    crowd(&test, &alice, &bob, &within, stack.service(within.service())).await;
}

/// Those who wait in front of it are polled ready in their turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_concurrency_limit_around_gives_places_back_for_denials_too() {
    let (test, alice, bob) = people().await;
    let within = Crowd::default();
    let stack = ServiceBuilder::new()
        .layer(GlobalConcurrencyLimitLayer::new(PLACES))
        .layer(goat!(test).into_inner());
    crowd(&test, &alice, &bob, &within, stack.service(within.service())).await;

    let within = Crowd::default();
    let stack = ServiceBuilder::new()
        .layer(ConcurrencyLimitLayer::new(PLACES))
        .layer(goat!(test).into_inner());
    crowd(&test, &alice, &bob, &within, stack.service(within.service())).await;
}

/// A buffer hands out its places by readiness; its worker, behind it, may hold fewer.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_buffer_within_and_around_serves_everybody() {
    let (test, alice, bob) = people().await;
    let within = Crowd::default();
    let stack = goat!(test).layer(BufferLayer::new(PLACES)).concurrency_limit(PLACES);
    crowd(&test, &alice, &bob, &within, stack.service(within.service())).await;

    let within = Crowd::default();
    let stack = ServiceBuilder::new()
        .layer(BufferLayer::new(PLACES))
        .layer(goat!(test).concurrency_limit(PLACES).into_inner());
    crowd(&test, &alice, &bob, &within, stack.service(within.service())).await;

    // Both at once.
    let within = Crowd::default();
    let stack = ServiceBuilder::new()
        .layer(BufferLayer::new(1))
        .layer(goat!(test).layer(BufferLayer::new(1)).concurrency_limit(1).into_inner());
    crowd(&test, &alice, &bob, &within, stack.service(within.service())).await;
}

/// Stays within until the test opens the door.
fn waiting(
    door: &Arc<Semaphore>,
) -> impl Service<Request<Sent>, Response = Response<Sent>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    let door = Arc::clone(door);
    service_fn(move |_| {
        let door = Arc::clone(&door);
        async move {
            let _closed = door.acquire().await;
            Ok(Response::new(Full::default()))
        }
    })
}

/// Until everything that can move has.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn load_is_shed_behind_the_denials_where_goat_is_outside() {
    let (test, alice, bob) = people().await;
    let door = Arc::new(Semaphore::new(0));
    let service =
        goat!(test).load_shed().layer(GlobalConcurrencyLimitLayer::new(1)).service(waiting(&door));
    let first = tokio::spawn(service.clone().oneshot(request(Some(&alice))));
    settle().await;

    // Who is refused is told so, also now, and the error of who is not is the inner one, untouched.
    for (user, status) in [(None, 401), (Some(&bob), 403)] {
        let answer = in_time(service.clone().oneshot(request(user))).await.unwrap();
        assert_eq!(answer.status(), status);
    }
    let shed = in_time(service.clone().oneshot(request(Some(&alice)))).await;
    assert!(shed.map(|_| ()).unwrap_err().is::<Overloaded>());

    door.close();
    assert_eq!(in_time(first).await.unwrap().unwrap().status(), 200);
    let answer = in_time(service.oneshot(request(Some(&alice)))).await.unwrap();
    assert_eq!(answer.status(), 200, "the place is free again");
}

#[tokio::test]
async fn load_is_shed_before_anything_is_looked_at_where_goat_is_within() {
    let (test, alice, bob) = people().await;
    let door = Arc::new(Semaphore::new(0));
    let service = ServiceBuilder::new()
        .load_shed()
        .layer(goat!(test).layer(GlobalConcurrencyLimitLayer::new(1)).into_inner())
        .service(waiting(&door));
    let first = tokio::spawn(service.clone().oneshot(request(Some(&alice))));
    settle().await;

    // goat's readiness is that of what it guards.
    for user in [None, Some(&bob), Some(&alice)] {
        let shed = in_time(service.clone().oneshot(request(user))).await;
        assert!(shed.map(|_| ()).unwrap_err().is::<Overloaded>());
    }
    door.close();
    assert_eq!(in_time(first).await.unwrap().unwrap().status(), 200);

    // Denials, each from an instance that is kept, leave the one place to who may.
    let mut kept = Vec::new();
    for (user, status) in [(None, 401), (Some(&bob), 403), (None, 401)] {
        let mut client = service.clone();
        let answer = client.ready().await.unwrap().call(request(user)).await.unwrap();
        assert_eq!(answer.status(), status);
        kept.push(client);
    }
    let answer = in_time(service.oneshot(request(Some(&alice)))).await.unwrap();
    assert_eq!(answer.status(), 200);
}
