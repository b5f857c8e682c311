//! Readiness: denials, dropped requests and errors in front of concurrency limits and buffers.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use goat_core::testing::TestGoat;
use goat_tower::GoatExt;
use http::{Request, Response};
use tower::buffer::Buffer;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::{Layer, Service, ServiceExt};

use super::faulty_layer::{Fault, FaultyLayer};
use super::layers::{with_limits, world};
use crate::support::stores::StoreState;
use crate::support::{Odd, Probe, REPORTS, Seen, Sent, request, whoami, with_header};

/// Keeps a service after a denial, like an idle connection, and returns whether another client of
/// the same limit is blocked.
pub(super) async fn starves<S, R>(held: S, other: S) -> bool
where
    S: Service<Request<Sent>, Response = Response<R>, Error = Odd>,
{
    let (mut held, mut other) = (held, other);
    let rejected = with_header("x-reject", "1");
    assert!(held.ready().await.expect("ready").call(rejected).await.is_ok());
    let mut context = Context::from_waker(Waker::noop());
    let starved = other.poll_ready(&mut context).is_pending();
    drop(held);
    starved
}

#[tokio::test]
async fn denials_do_not_starve_an_inner_concurrency_limit() {
    let one = || GlobalConcurrencyLimitLayer::new(1).layer(Probe::default());
    let service = TestGoat::new().goat.authenticate().layer(one());
    assert!(!starves(service.clone(), service).await);
    let service = TestGoat::new().goat.require(REPORTS).layer(one());
    assert!(!starves(service.clone(), service).await);
    for remote in [false, true] {
        let service = with_limits(&world(remote).await).layer(one());
        assert!(!starves(service.clone(), service).await);
    }

    let (faulty, _) = FaultyLayer::new(Some(Fault::KeepsThePolledInstance));
    let service = faulty.layer(one());
    assert!(starves(service.clone(), service).await, "the check detects a faulty layer");
}

/// The paused clock advances when all tasks are idle, so a hanging test times out at once.
#[tokio::test(start_paused = true)]
async fn a_denial_releases_its_buffer_slot() {
    let world = world(false).await;
    let service = world.test.goat.authenticate().layer(Buffer::new(whoami(), 1));
    // Several clients, each idle after a denial.
    let mut idle = Vec::new();
    for _ in 0..5 {
        let mut client = service.clone();
        let ready = tokio::time::timeout(Duration::from_secs(30), client.ready()).await;
        let denial = ready.expect("a free slot").expect("ready").call(request(None)).await;
        assert_eq!(denial.expect("a response").status(), 401);
        idle.push(client);
    }
    let response =
        tokio::time::timeout(Duration::from_secs(30), service.oneshot(world.cached()())).await;
    assert_eq!(response.expect("a free slot").expect("a response").status(), 200);
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

fn poll_once<T>(future: &mut Boxed<T>) -> Poll<T> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn a_dropped_request_releases_its_concurrency_permit() {
    let world = world(false).await;
    let allowed = world.cached();
    let probe = Probe::default();
    let seen: Arc<Seen> = Arc::clone(&probe.seen);
    let service = world
        .test
        .goat
        .require(REPORTS)
        .fresh()
        .layer(GlobalConcurrencyLimitLayer::new(1).layer(probe));
    world.switch.set(StoreState::Hanging);
    for _ in 0..3 {
        let mut future: Boxed<_> = Box::pin(service.clone().oneshot(allowed()));
        assert!(poll_once(&mut future).is_pending());
    }
    world.switch.set(StoreState::Up);
    let mut future: Boxed<_> = Box::pin(service.oneshot(allowed()));
    let Poll::Ready(response) = poll_once(&mut future) else { panic!("the permit is still held") };
    assert_eq!(response.expect("a response").status(), 202);
    assert_eq!(seen.calls(), 1);
}
