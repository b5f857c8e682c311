//! What every layer keeps to, as checks that say which promise is broken; run over all the layers,
//! and over wrong ones to see that each check fails the layer that it is there for.

mod offline;
mod wrong;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use goat_core::testing::{TestGoat, TestUser};
use goat_core::{Quota, Stores};
use goat_tower::address::ClientAddress;
use goat_tower::{AdmitLayer, GoatExt};
use http::{Request, Response};
use tower::buffer::Buffer;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::{Layer, Service, ServiceExt};

use crate::fixture::{Mark, Odd, Probe, REPORTS, Seen, Sent, request, whoami};
use crate::stores::{Mood, Switch, switched};
use wrong::{Fault, WrongLayer};

/// What a layer promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    ReadinessIsForwarded,
    PollingCostsNothing,
    ThePolledInstanceIsCalled,
    ADenialReachesNobody,
    ADenialGivesReadinessBack,
    WhatIsAllowedPassesUnchanged,
    WhatIsKnownIsNotWaitedFor,
    ADroppedRequestIsGone,
    AFailureIsNoRefusal,
}
use Promise::*;

/// A layer, what it lets through and what it does not, and how to make its store hang.
struct Case<L> {
    layer: L,
    /// Allowed by what is known already, as often as it is asked.
    allowed: Box<dyn Fn() -> Request<Sent>>,
    /// Refused without a store.
    refused: Box<dyn Fn() -> Request<Sent>>,
    /// Allowed by a store that must be asked, if the layer ever asks one for that.
    asking: Option<Box<dyn Fn() -> Request<Sent>>>,
    store: Option<Switch>,
}

/// All promises that a layer breaks.
async fn broken<L, S, R>(case: &Case<L>) -> Vec<Promise>
where
    L: Layer<Probe, Service = S>,
    S: Service<Request<Sent>, Response = Response<R>, Error = Odd, Future: Send + 'static> + Clone,
    R: Send + 'static,
{
    let mut broken = Vec::new();
    let mut note = |promise, kept: bool| {
        if !kept {
            broken.push(promise);
        }
    };
    let fresh = || {
        let probe = Probe::default();
        let seen = Arc::clone(&probe.seen);
        (case.layer.layer(probe), seen)
    };
    let mut context = Context::from_waker(Waker::noop());

    // Not ready while the inner one is not; ready, and no more than once, when it is.
    let (mut service, seen) = fresh();
    seen.stall(true);
    let early = service.poll_ready(&mut context).is_ready();
    seen.stall(false);
    let then = service.poll_ready(&mut context).is_ready();
    let again = service.poll_ready(&mut context).is_ready();
    note(ReadinessIsForwarded, !early && then && again && seen.reserved() == 1);
    drop(service);

    // Polled a thousand times and called once, it is as if polled once.
    let (mut service, seen) = fresh();
    for _ in 0..1000 {
        assert!(service.poll_ready(&mut context).is_ready());
    }
    let response = service.call((case.allowed)()).await;
    note(PollingCostsNothing, response.is_ok() && seen.calls() == 1);

    // Every call that comes through comes to the instance that was polled.
    let (mut service, seen) = fresh();
    for _ in 0..3 {
        let response = service.ready().await.expect("ready").call((case.allowed)()).await;
        assert!(response.is_ok());
    }
    note(ThePolledInstanceIsCalled, seen.calls() == 3 && seen.unready_calls() == 0);

    // A denial: nothing comes through, and nothing stays reserved while the service lives on.
    let (mut service, seen) = fresh();
    let denial = service.ready().await.expect("ready").call((case.refused)()).await;
    assert!(denial.is_ok_and(|denial| denial.extensions().get::<Mark>().is_none()));
    note(ADenialReachesNobody, seen.calls() == 0);
    note(ADenialGivesReadinessBack, seen.reserved() == 0);
    drop(service);

    // What is allowed, against the same without the layer.
    let (service, _) = fresh();
    let plain = Probe::default().oneshot((case.allowed)()).await.expect("an answer");
    let layered = service.oneshot((case.allowed)()).await.expect("an answer");
    let mut same = layered.status() == plain.status()
        && layered.extensions().get::<Mark>() == plain.extensions().get::<Mark>();
    for name in plain.headers().keys() {
        let (ours, theirs) = (layered.headers().get_all(name), plain.headers().get_all(name));
        same &= ours.iter().eq(theirs.iter());
    }
    note(WhatIsAllowedPassesUnchanged, same);

    // Ready at the first poll where the inner service is.
    let (mut service, _) = fresh();
    assert!(service.poll_ready(&mut context).is_ready());
    let future = pin!(service.call((case.allowed)()));
    note(WhatIsKnownIsNotWaitedFor, future.poll(&mut context).is_ready());

    // Dropped while a store is asked.
    if let (Some(asking), Some(store)) = (&case.asking, &case.store) {
        let (mut service, seen) = fresh();
        store.set(Mood::Hanging);
        assert!(service.poll_ready(&mut context).is_ready());
        let mut future = Box::pin(service.call(asking()));
        assert!(future.as_mut().poll(&mut context).is_pending());
        assert_eq!(seen.reserved(), 1, "what waits is ready to go on");
        drop(future);
        let given_back = seen.reserved() == 0;
        store.set(Mood::Fine);
        // Whoever goes on without the future does it now.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        note(ADroppedRequestIsGone, given_back && seen.calls() == 0);

        let (service, _) = fresh();
        store.set(Mood::Down);
        let response = service.oneshot(asking()).await;
        store.set(Mood::Fine);
        note(AFailureIsNoRefusal, response.is_ok_and(|response| response.status() == 503));

        // And when it answers, the instance that was polled goes on.
        let (mut service, seen) = fresh();
        store.set(Mood::Hanging);
        assert!(service.poll_ready(&mut context).is_ready());
        let mut future = Box::pin(service.call(asking()));
        assert!(future.as_mut().poll(&mut context).is_pending());
        store.set(Mood::Fine);
        assert!(future.await.is_ok());
        let polled = seen.calls() == 1 && seen.unready_calls() == 0 && seen.reserved() == 0;
        if !polled {
            note(ThePolledInstanceIsCalled, false);
        }
    }
    broken.dedup();
    broken
}

/// A goat whose clock can be moved past its cache, with somebody who may everything asked for here.
async fn known() -> (TestGoat, Switch, Box<dyn Fn() -> Request<Sent>>) {
    let (stores, switch) = switched();
    let test = TestGoat::build(stores, |builder| builder);
    let alice = test.sign_in("alice", [REPORTS]).await;
    test.goat.authenticate_token(alice.access_token()).await.expect("a principal");
    (test, switch, Box::new(move || request(Some(&alice))))
}

/// Somebody whom the cache does not know, for whoever asks a store for that, any number of times:
/// nothing is remembered for longer than the clock stands, and it moves each time.
fn unknown(test: &TestGoat, known: &dyn Fn() -> Request<Sent>) -> Box<dyn Fn() -> Request<Sent>> {
    let clock = test.clock.clone();
    let headers = known().headers().clone();
    Box::new(move || {
        clock.advance(Duration::from_secs(2));
        let mut request = request(None);
        *request.headers_mut() = headers.clone();
        request
    })
}

#[tokio::test]
async fn authentication_keeps_the_contract() {
    let (test, switch, allowed) = known().await;
    let case = Case {
        layer: test.goat.authenticate(),
        refused: Box::new(|| request(None)),
        asking: Some(unknown(&test, &allowed)),
        allowed,
        store: Some(switch),
    };
    assert_eq!(broken(&case).await, []);
}

#[tokio::test]
async fn a_requirement_keeps_the_contract() {
    let (test, switch, allowed) = known().await;
    let case = Case {
        layer: test.goat.require(REPORTS),
        refused: Box::new(|| request(None)),
        asking: Some(unknown(&test, &allowed)),
        allowed,
        store: Some(switch),
    };
    assert_eq!(broken(&case).await, []);
}

#[tokio::test]
async fn a_fresh_requirement_keeps_the_contract_but_for_asking_each_time() {
    let (test, switch, allowed) = known().await;
    let case = Case {
        layer: test.goat.require(REPORTS).fresh(),
        refused: Box::new(|| request(None)),
        asking: Some(unknown(&test, &allowed)),
        allowed,
        store: Some(switch),
    };
    // The store in memory answers at the first poll, so even that is not waited for.
    assert_eq!(broken(&case).await, []);
}

#[tokio::test]
async fn a_limit_in_memory_keeps_the_contract() {
    let test = TestGoat::new();
    // Polled a thousand times in the checks and called few times: a limit that charges what is
    // polled is used up.
    let limit = test.goat.limit(Quota::per_minute(100)).by_address();
    let spent = ClientAddress::new([192, 0, 2, 99].into());
    let refused = move || {
        let mut request = request(None);
        request.extensions_mut().insert(spent);
        request
    };
    for _ in 0..100 {
        limit.layer(whoami()).oneshot(refused()).await.expect("an answer");
    }
    let case = Case {
        layer: limit,
        allowed: Box::new(|| request(None)),
        refused: Box::new(refused),
        asking: None,
        store: None,
    };
    assert_eq!(broken(&case).await, []);
}

#[tokio::test]
async fn a_limit_kept_elsewhere_keeps_the_contract() {
    let (stores, switch) = switched();
    let test = TestGoat::build(stores, |builder| builder);
    let limit = test.goat.limit(Quota::per_minute(100)).by_key(|request| {
        let spent = request.headers.contains_key("x-spent");
        Some(if spent { "spent" } else { "alice" }.into())
    });
    let refused = || crate::fixture::with_header("x-spent", "1");
    for _ in 0..100 {
        limit.layer(whoami()).oneshot(refused()).await.expect("an answer");
    }
    let case = Case {
        layer: limit,
        allowed: Box::new(|| request(None)),
        refused: Box::new(refused),
        asking: Some(Box::new(|| request(None))),
        store: Some(switch),
    };
    assert_eq!(broken(&case).await, []);
}

/// A goat with somebody whom the cache knows, and authentication between two limits of a hundred.
async fn admission(elsewhere: bool) -> (TestGoat, Switch, AdmitLayer, TestUser) {
    let (mut stores, switch) = switched();
    if !elsewhere {
        stores.limits = Stores::memory().limits;
    }
    let test = TestGoat::build(stores, |builder| builder);
    let alice = test.sign_in("alice", [REPORTS]).await;
    test.goat.authenticate_token(alice.access_token()).await.expect("a principal");
    let limit = test.goat.limit(Quota::per_minute(100));
    let layer = test.goat.authenticate().limited(limit.clone().by_address(), limit.by_user());
    (test, switch, layer, alice)
}

#[tokio::test]
async fn admission_keeps_the_contract_wherever_limits_are_and_whether_or_not_the_cache_knows() {
    for (elsewhere, is_known) in [(false, false), (true, false), (true, true)] {
        let (test, switch, layer, alice) = admission(elsewhere).await;
        let allowed = Arc::new(move || request(Some(&alice)));
        let again = Arc::clone(&allowed);
        let case = Case {
            layer,
            allowed: Box::new(move || again()),
            refused: Box::new(|| request(None)),
            asking: Some(match is_known {
                true => Box::new(move || allowed()),
                false => unknown(&test, &*allowed),
            }),
            store: Some(switch),
        };
        assert_eq!(broken(&case).await, [], "{elsewhere} {is_known}");
    }
}

/// Refused by the one limit and by the other, with a token that does.
#[tokio::test]
async fn admission_that_a_limit_refuses_keeps_the_contract() {
    for (elsewhere, by_user) in [(false, false), (false, true), (true, false), (true, true)] {
        let (test, switch, layer, alice) = admission(elsewhere).await;
        let bob = test.sign_in("bob", []).await;
        test.goat.authenticate_token(bob.access_token()).await.expect("a principal");
        let spent = ClientAddress::new([192, 0, 2, 99].into());
        // Bob has spent what he and an address have, and goes on from that address or from another.
        let from = move |user: &TestUser, address| {
            let mut request = request(Some(user));
            request.extensions_mut().insert(address);
            request
        };
        for _ in 0..100 {
            layer.layer(whoami()).oneshot(from(&bob, spent)).await.expect("an answer");
        }
        let other = ClientAddress::new([192, 0, 2, 98].into());
        let carol = test.sign_in("carol", []).await;
        test.goat.authenticate_token(carol.access_token()).await.expect("a principal");
        let case = Case {
            layer,
            allowed: Box::new(move || request(Some(&alice))),
            refused: Box::new(
                move || if by_user { from(&bob, other) } else { from(&carol, spent) },
            ),
            asking: None,
            store: Some(switch),
        };
        let refused = case.layer.layer(whoami()).oneshot((case.refused)()).await;
        assert_eq!(refused.expect("an answer").status(), 429);
        assert_eq!(broken(&case).await, [], "{elsewhere} {by_user}");
    }
}

/// A limit is charged or not: a request that is dropped before the store was asked is not.
#[tokio::test]
async fn a_request_that_is_dropped_before_the_store_answers_is_not_charged_here() {
    let (stores, switch) = switched();
    let test = TestGoat::build(stores, |builder| builder);
    let service = test.goat.limit(Quota::per_minute(1)).by_address().layer(whoami());
    let mut context = Context::from_waker(Waker::noop());
    switch.set(Mood::Hanging);
    for _ in 0..5 {
        let mut future = Box::pin(service.clone().oneshot(request(None)));
        assert!(future.as_mut().poll(&mut context).is_pending());
    }
    switch.set(Mood::Fine);
    assert_eq!(service.clone().oneshot(request(None)).await.expect("an answer").status(), 200);
    assert_eq!(service.oneshot(request(None)).await.expect("an answer").status(), 429);
}

#[tokio::test]
async fn every_check_fails_the_layer_that_it_is_there_for() {
    let case = |fault| {
        let (layer, switch) = WrongLayer::new(fault);
        Case {
            layer,
            allowed: Box::new(|| request(None)),
            refused: Box::new(|| crate::fixture::with_header("x-refuse", "1")),
            asking: Some(Box::new(|| crate::fixture::with_header("x-ask", "1"))),
            store: Some(switch),
        }
    };
    assert_eq!(broken(&case(None)).await, [], "the same layer without a fault");
    let faults = [
        (Fault::IsAlwaysReady, ReadinessIsForwarded),
        (Fault::ChargesWhenPolled, PollingCostsNothing),
        (Fault::CallsAClone, ThePolledInstanceIsCalled),
        (Fault::CallsBeforeItChecks, ADenialReachesNobody),
        (Fault::KeepsThePolledInstance, ADenialGivesReadinessBack),
        (Fault::RebuildsTheResponse, WhatIsAllowedPassesUnchanged),
        (Fault::AlwaysWaits, WhatIsKnownIsNotWaitedFor),
        (Fault::GoesOnWithoutTheFuture, ADroppedRequestIsGone),
        (Fault::TakesFailureForRefusal, AFailureIsNoRefusal),
    ];
    for (fault, promise) in faults {
        let broken = broken(&case(Some(fault))).await;
        assert!(broken.contains(&promise), "{fault:?} was not noticed: {broken:?}");
    }
}

/// Holds a service after a denial, as a connection that idles does, and sees whether another client
/// of the same limit still gets in.
async fn starves<S, R>(held: S, other: S) -> bool
where
    S: Service<Request<Sent>, Response = Response<R>, Error = Odd>,
{
    let (mut held, mut other) = (held, other);
    let refused = crate::fixture::with_header("x-refuse", "1");
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
        let (_, _, layer, _) = admission(elsewhere).await;
        let service = layer.layer(one());
        assert!(!starves(service.clone(), service).await);
    }

    let (wrong, _) = WrongLayer::new(Some(Fault::KeepsThePolledInstance));
    let service = wrong.layer(one());
    assert!(starves(service.clone(), service).await, "the check sees a layer that does");
}

/// Time stands still while anything moves, so what hangs runs into the limit at once.
#[tokio::test(start_paused = true)]
async fn a_denial_gives_its_place_in_a_buffer_back() {
    let (test, _, allowed) = known().await;
    let service = test.goat.authenticate().layer(Buffer::new(whoami(), 1));
    // Several clients, each of whom is denied and then idles.
    let mut idle = Vec::new();
    for _ in 0..5 {
        let mut client = service.clone();
        let ready = tokio::time::timeout(Duration::from_secs(1), client.ready()).await;
        let denial = ready.expect("a place is free").expect("ready").call(request(None)).await;
        assert_eq!(denial.expect("an answer").status(), 401);
        idle.push(client);
    }
    let response = tokio::time::timeout(Duration::from_secs(1), service.oneshot(allowed())).await;
    assert_eq!(response.expect("a place is free").expect("an answer").status(), 200);
}

#[test]
fn layers_services_and_futures_go_where_frameworks_want_them() {
    fn shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    fn sent<T: Send + 'static>(_: T) {}
    let goat = TestGoat::new().goat;
    let limit = goat.limit(Quota::per_minute(1)).by_address();
    let mut service = goat.authenticate().layer(limit.layer(goat.require(REPORTS).layer(whoami())));
    shared(&goat.authenticate());
    shared(&goat.require(REPORTS));
    shared(&limit);
    sent(service.call(request(None)));
    let admit = goat.authenticate().limited(limit.clone(), limit);
    sent(admit.layer(whoami()).call(request(None)));
    shared(&admit);
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

fn poll_once<T>(future: &mut Boxed<T>) -> Poll<T> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn a_dropped_request_gives_its_place_in_a_concurrency_limit_back() {
    let (test, switch, allowed) = known().await;
    let probe = Probe::default();
    let seen: Arc<Seen> = Arc::clone(&probe.seen);
    let service =
        test.goat.require(REPORTS).fresh().layer(GlobalConcurrencyLimitLayer::new(1).layer(probe));
    switch.set(Mood::Hanging);
    for _ in 0..3 {
        let mut future: Boxed<_> = Box::pin(service.clone().oneshot(allowed()));
        assert!(poll_once(&mut future).is_pending());
    }
    switch.set(Mood::Fine);
    let mut future: Boxed<_> = Box::pin(service.oneshot(allowed()));
    let Poll::Ready(response) = poll_once(&mut future) else { panic!("the place is still held") };
    assert_eq!(response.expect("an answer").status(), 202);
    assert_eq!(seen.calls(), 1);
}
