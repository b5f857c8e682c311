//! tower's layers with reservations (concurrency limit, buffer, load shed) inside and outside
//! goat's, under concurrent denials and allowed requests.

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

/// Counts concurrent calls, and yields so that others can enter.
#[derive(Clone, Debug, Default)]
struct Load(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    active: AtomicUsize,
    most: AtomicUsize,
    served: AtomicUsize,
}

impl Load {
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
                let active = counts.active.fetch_add(1, SeqCst) + 1;
                counts.most.fetch_max(active, SeqCst);
                for _ in 0..5 {
                    tokio::task::yield_now().await;
                }
                counts.active.fetch_sub(1, SeqCst);
                counts.served.fetch_add(1, SeqCst);
                Ok(Response::new(Full::default()))
            }
        })
    }
}

const CLIENTS: usize = 32;
const ROUNDS: usize = 20;
const PERMITS: usize = 3;

/// Runs many clients, each with its own clone like a connection; denied ones idle with their clone.
/// Checks that every status is right, that no client waits forever, and that the concurrency stays
/// active the limit.
async fn load<S, R>(test: &TestGoat, alice: &TestUser, bob: &TestUser, load: &Load, service: S)
where
    S: Service<Request<Sent>, Response = Response<R>, Future: Send> + Clone + Send + 'static,
    S::Error: Into<BoxError> + Send,
    R: Send,
{
    let principal = test.goat.authenticate_token(alice.access_token()).await.unwrap();
    assert!(principal.may(&REPORTS));
    let all_done = Arc::new(tokio::sync::Barrier::new(CLIENTS));
    let clients = (0..CLIENTS).map(|client| {
        let (alice, bob, mut service) = (alice.clone(), bob.clone(), service.clone());
        let all_done = Arc::clone(&all_done);
        tokio::spawn(async move {
            for round in 0..ROUNDS {
                let (user, status) = match (client + round) % 4 {
                    0 | 1 => (Some(&alice), 200),
                    2 => (Some(&bob), 403),
                    _ => (None, 401),
                };
                let ready = service.ready().await.map_err(Into::into).unwrap();
                let response = ready.call(request(user)).await.map_err(Into::into).unwrap();
                assert_eq!(response.status(), status);
            }
            // Finished clients keep the instance that was called last.
            all_done.wait().await;
            drop(service);
        })
    });
    let clients: Vec<_> = clients.collect();
    for client in clients {
        in_time(client).await.unwrap();
    }
    assert_eq!(
        load.0.served.load(SeqCst),
        CLIENTS * ROUNDS / 2,
        "half of the requests are allowed"
    );
    let most = load.0.most.load(SeqCst);
    assert!(most <= PERMITS, "{most} at once");
}

/// All of goat's layers.
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
async fn an_inner_concurrency_limit_is_not_starved_by_denials() {
    let (test, alice, bob) = people().await;
    let active = Load::default();
    // One semaphore for all clones of the layer and of the service.
    let stack = goat!(test).layer(GlobalConcurrencyLimitLayer::new(PERMITS));
    load(&test, &alice, &bob, &active, stack.service(active.service())).await;

    let active = Load::default();
    let stack = goat!(test).layer(ConcurrencyLimitLayer::new(PERMITS));
    load(&test, &alice, &bob, &active, stack.service(active.service())).await;
}

/// Waiting clients are polled ready in turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn an_outer_concurrency_limit_is_released_by_denials() {
    let (test, alice, bob) = people().await;
    let active = Load::default();
    let stack = ServiceBuilder::new()
        .layer(GlobalConcurrencyLimitLayer::new(PERMITS))
        .layer(goat!(test).into_inner());
    load(&test, &alice, &bob, &active, stack.service(active.service())).await;

    let active = Load::default();
    let stack = ServiceBuilder::new()
        .layer(ConcurrencyLimitLayer::new(PERMITS))
        .layer(goat!(test).into_inner());
    load(&test, &alice, &bob, &active, stack.service(active.service())).await;
}

/// A buffer reserves slots by readiness; the worker behind it may hold fewer.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn inner_and_outer_buffers_serve_all_clients() {
    let (test, alice, bob) = people().await;
    let active = Load::default();
    let stack = goat!(test).layer(BufferLayer::new(PERMITS)).concurrency_limit(PERMITS);
    load(&test, &alice, &bob, &active, stack.service(active.service())).await;

    let active = Load::default();
    let stack = ServiceBuilder::new()
        .layer(BufferLayer::new(PERMITS))
        .layer(goat!(test).concurrency_limit(PERMITS).into_inner());
    load(&test, &alice, &bob, &active, stack.service(active.service())).await;

    // Both combined.
    let active = Load::default();
    let stack = ServiceBuilder::new()
        .layer(BufferLayer::new(1))
        .layer(goat!(test).layer(BufferLayer::new(1)).concurrency_limit(1).into_inner());
    load(&test, &alice, &bob, &active, stack.service(active.service())).await;
}

/// Inner service that waits until the test opens the gate.
fn waiting(
    gate: &Arc<Semaphore>,
) -> impl Service<Request<Sent>, Response = Response<Sent>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    let gate = Arc::clone(gate);
    service_fn(move |_| {
        let gate = Arc::clone(&gate);
        async move {
            let _closed = gate.acquire().await;
            Ok(Response::new(Full::default()))
        }
    })
}

/// Lets all runnable tasks proceed.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn with_goat_outside_denials_precede_load_shedding() {
    let (test, alice, bob) = people().await;
    let gate = Arc::new(Semaphore::new(0));
    let service =
        goat!(test).load_shed().layer(GlobalConcurrencyLimitLayer::new(1)).service(waiting(&gate));
    let first = tokio::spawn(service.clone().oneshot(request(Some(&alice))));
    settle().await;

    // Denials are still sent; allowed requests get the inner error unchanged.
    for (user, status) in [(None, 401), (Some(&bob), 403)] {
        let response = in_time(service.clone().oneshot(request(user))).await.unwrap();
        assert_eq!(response.status(), status);
    }
    let shed = in_time(service.clone().oneshot(request(Some(&alice)))).await;
    assert!(shed.map(|_| ()).unwrap_err().is::<Overloaded>());

    gate.close();
    assert_eq!(in_time(first).await.unwrap().unwrap().status(), 200);
    let response = in_time(service.oneshot(request(Some(&alice)))).await.unwrap();
    assert_eq!(response.status(), 200, "the permit is free again");
}

#[tokio::test]
async fn with_goat_inside_load_shedding_precedes_denials() {
    let (test, alice, bob) = people().await;
    let gate = Arc::new(Semaphore::new(0));
    let service = ServiceBuilder::new()
        .load_shed()
        .layer(goat!(test).layer(GlobalConcurrencyLimitLayer::new(1)).into_inner())
        .service(waiting(&gate));
    let first = tokio::spawn(service.clone().oneshot(request(Some(&alice))));
    settle().await;

    // goat's readiness is the inner service's.
    for user in [None, Some(&bob), Some(&alice)] {
        let shed = in_time(service.clone().oneshot(request(user))).await;
        assert!(shed.map(|_| ()).unwrap_err().is::<Overloaded>());
    }
    gate.close();
    assert_eq!(in_time(first).await.unwrap().unwrap().status(), 200);

    // Denials from instances that are kept do not occupy the only permit.
    let mut kept = Vec::new();
    for (user, status) in [(None, 401), (Some(&bob), 403), (None, 401)] {
        let mut client = service.clone();
        let response = client.ready().await.unwrap().call(request(user)).await.unwrap();
        assert_eq!(response.status(), status);
        kept.push(client);
    }
    let response = in_time(service.oneshot(request(Some(&alice)))).await.unwrap();
    assert_eq!(response.status(), 200);
}
