//! Whose place it is: denials, dropped requests and errors in front of what has few places.

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

use super::faulty_layer::{Fault, WrongLayer};
use super::layers::{admission, world};
use crate::support::stores::Mood;
use crate::support::{Odd, Probe, REPORTS, Seen, Sent, request, whoami, with_header};

/// Holds a service after a denial, as a connection that idles does, and sees whether another client
/// of the same limit still gets in.
pub(super) async fn starves<S, R>(held: S, other: S) -> bool
where
    S: Service<Request<Sent>, Response = Response<R>, Error = Odd>,
{
    let (mut held, mut other) = (held, other);
    let refused = with_header("x-refuse", "1");
    assert!(held.ready().await.expect("ready").call(refused).await.is_ok());
    let mut context = Context::from_waker(Waker::noop());
    let starved = other.poll_ready(&mut context).is_pending();
    drop(held);
    starved
}

#[tokio::test]
async fn cheap_denials_do_not_starve_a_concurrency_limit_below() {
    let one = || GlobalConcurrencyLimitLayer::new(1).layer(Probe::default());
    let service = TestGoat::new().goat.authenticate().layer(one());
    assert!(!starves(service.clone(), service).await);
    let service = TestGoat::new().goat.require(REPORTS).layer(one());
    assert!(!starves(service.clone(), service).await);
    for elsewhere in [false, true] {
        let service = admission(&world(elsewhere).await).layer(one());
        assert!(!starves(service.clone(), service).await);
    }

    let (wrong, _) = WrongLayer::new(Some(Fault::KeepsThePolledInstance));
    let service = wrong.layer(one());
    assert!(starves(service.clone(), service).await, "the check sees a layer that does");
}

/// Time stands still while anything moves, so what hangs runs into the limit at once.
#[tokio::test(start_paused = true)]
async fn a_denial_gives_its_place_in_a_buffer_back() {
    let world = world(false).await;
    let service = world.test.goat.authenticate().layer(Buffer::new(whoami(), 1));
    // Several clients, each of whom is denied and then idles.
    let mut idle = Vec::new();
    for _ in 0..5 {
        let mut client = service.clone();
        let ready = tokio::time::timeout(Duration::from_secs(1), client.ready()).await;
        let denial = ready.expect("a place is free").expect("ready").call(request(None)).await;
        assert_eq!(denial.expect("an answer").status(), 401);
        idle.push(client);
    }
    let response =
        tokio::time::timeout(Duration::from_secs(1), service.oneshot(world.known()())).await;
    assert_eq!(response.expect("a place is free").expect("an answer").status(), 200);
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

fn poll_once<T>(future: &mut Boxed<T>) -> Poll<T> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn a_dropped_request_gives_its_place_in_a_concurrency_limit_back() {
    let world = world(false).await;
    let allowed = world.known();
    let probe = Probe::default();
    let seen: Arc<Seen> = Arc::clone(&probe.seen);
    let service = world
        .test
        .goat
        .require(REPORTS)
        .fresh()
        .layer(GlobalConcurrencyLimitLayer::new(1).layer(probe));
    world.switch.set(Mood::Hanging);
    for _ in 0..3 {
        let mut future: Boxed<_> = Box::pin(service.clone().oneshot(allowed()));
        assert!(poll_once(&mut future).is_pending());
    }
    world.switch.set(Mood::Fine);
    let mut future: Boxed<_> = Box::pin(service.oneshot(allowed()));
    let Poll::Ready(response) = poll_once(&mut future) else { panic!("the place is still held") };
    assert_eq!(response.expect("an answer").status(), 202);
    assert_eq!(seen.calls(), 1);
}
