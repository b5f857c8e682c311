//! What every layer keeps to, as checks that say which promise is broken; run over all the layers,
//! and over wrong ones to see that each check fails the layer that it is there for.
//!
//! By file: the promises and their checks (here), the layers that keep them (`layers`), readiness
//! and concurrency limits (`readiness`), every await and every call of a store (`awaits`), and the
//! wrong layers (`wrong`).

mod cancellation;
mod cookies;
mod faulty_layer;
mod layers;
mod offline;
mod readiness;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::Body;
use http_body_util::BodyExt;
use tower::{Layer, Service, ServiceExt};

use crate::support::stores::{Mood, Switch};
use crate::support::{Mark, Odd, Probe, Sent, with_header};
use faulty_layer::{Fault, WrongLayer};

/// What a layer promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Promise {
    ReadinessIsForwarded,
    PollingCostsNothing,
    ThePolledInstanceIsCalled,
    ADenialReachesNobody,
    ADenialGivesReadinessBack,
    ErrorsPassUntouched,
    WhatIsAllowedPassesUnchanged,
    WhatIsKnownIsNotWaitedFor,
    ADroppedRequestIsGone,
    AFailureIsNoRefusal,
}
use Promise::*;

type Make = Box<dyn Fn() -> Request<Sent>>;

/// A layer, what it lets through and what it does not, and how to make its store hang.
struct Case<L> {
    layer: L,
    /// Allowed by what is known already, as often as it is asked.
    allowed: Make,
    /// The headers that the layer may add to that.
    adds: &'static [&'static str],
    /// Refused without a store, if it ever refuses.
    refused: Option<Make>,
    store: Option<Store>,
}

/// The store of a layer that asks one.
struct Store {
    switch: Switch,
    /// Allowed by the store, which must be asked; of somebody else than what is known.
    asking: Make,
    /// Refused by the store, which must be asked.
    refused: Make,
    /// Whether even what is known already is asked.
    always: bool,
}

/// All promises that a layer breaks.
async fn broken<L, S, R>(case: &Case<L>) -> Vec<Promise>
where
    L: Layer<Probe, Service = S>,
    S: Service<Request<Sent>, Response = Response<R>, Error = Odd, Future: Send + 'static> + Clone,
    R: Body<Data = Bytes, Error: std::fmt::Debug> + Send + 'static,
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

    // A denial: nothing comes through, and nothing stays reserved while the service lives on, from
    // the call on, and not only when somebody has read the answer.
    if let Some(refused) = &case.refused {
        let (mut service, seen) = fresh();
        let denial = service.ready().await.expect("ready").call(refused());
        let given_back = seen.reserved() == 0;
        let denial = denial.await;
        assert!(denial.is_ok_and(|denial| denial.extensions().get::<Mark>().is_none()));
        note(ADenialReachesNobody, seen.calls() == 0);
        note(ADenialGivesReadinessBack, given_back && seen.reserved() == 0);
    }

    // The inner service's error, of a call and of getting ready.
    let (mut service, seen) = fresh();
    let mut failing = (case.allowed)();
    failing.headers_mut().insert("x-fail", "1".parse().expect("a value"));
    let called = service.ready().await.expect("ready").call(failing).await;
    seen.break_down();
    let polled = service.poll_ready(&mut context);
    note(
        ErrorsPassUntouched,
        matches!(called, Err(Odd::Failed)) && matches!(polled, Poll::Ready(Err(Odd::BrokenDown))),
    );

    // What is allowed, against the same without the layer.
    let marked = || {
        let mut request = (case.allowed)();
        *request.version_mut() = Version::HTTP_2;
        request.extensions_mut().insert(Mark("of the request".to_owned()));
        request
    };
    let (service, _) = fresh();
    let plain = Probe::default().oneshot(marked()).await.expect("an answer");
    let layered = service.oneshot(marked()).await.expect("an answer");
    note(WhatIsAllowedPassesUnchanged, is_same(plain, layered, case.adds).await);

    // Ready at the first poll where the inner service is.
    let (mut service, _) = fresh();
    assert!(service.poll_ready(&mut context).is_ready());
    let future = pin!(service.call((case.allowed)()));
    note(WhatIsKnownIsNotWaitedFor, future.poll(&mut context).is_ready());

    if let Some(store) = &case.store {
        // Dropped while the store is asked.
        let (mut service, seen) = fresh();
        let asking = (store.asking)();
        assert!(service.clone().oneshot((case.allowed)()).await.is_ok(), "known again");
        store.switch.set(Mood::Hanging);
        assert!(service.poll_ready(&mut context).is_ready());
        let mut future = Box::pin(service.call(asking));
        assert!(future.as_mut().poll(&mut context).is_pending());
        assert_eq!(seen.reserved(), 1, "what waits is ready to go on");
        if !store.always {
            // Nobody else waits for that.
            let other = pin!(service.clone().oneshot((case.allowed)()));
            note(WhatIsKnownIsNotWaitedFor, other.poll(&mut context).is_ready());
        }
        drop(service);
        drop(future);
        let (given_back, came_through) = (seen.reserved() == 0, seen.calls());
        store.switch.set(Mood::Fine);
        // Whoever goes on without the future does it now.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        note(ADroppedRequestIsGone, given_back && seen.calls() == came_through);

        let (service, seen) = fresh();
        store.switch.set(Mood::Down);
        let response = service.oneshot((store.asking)()).await;
        store.switch.set(Mood::Fine);
        let unavailable = response.is_ok_and(|response| response.status() == 503);
        note(AFailureIsNoRefusal, unavailable && seen.calls() == 0);

        // When it answers, the instance that was polled goes on.
        let (mut service, seen) = fresh();
        store.switch.set(Mood::Hanging);
        assert!(service.poll_ready(&mut context).is_ready());
        let mut future = Box::pin(service.call((store.asking)()));
        assert!(future.as_mut().poll(&mut context).is_pending());
        store.switch.set(Mood::Fine);
        assert!(future.await.is_ok());
        let polled = seen.calls() == 1 && seen.unready_calls() == 0 && seen.reserved() == 0;
        note(ThePolledInstanceIsCalled, polled);

        // And when it refuses, that instance goes, while the future and the service are still there.
        let (mut service, seen) = fresh();
        store.switch.set(Mood::Hanging);
        assert!(service.poll_ready(&mut context).is_ready());
        let mut future = Box::pin(service.call((store.refused)()));
        assert!(future.as_mut().poll(&mut context).is_pending());
        store.switch.set(Mood::Fine);
        let denial = future.as_mut().await;
        assert!(denial.is_ok_and(|denial| denial.extensions().get::<Mark>().is_none()));
        note(ADenialReachesNobody, seen.calls() == 0);
        note(ADenialGivesReadinessBack, seen.reserved() == 0);
    }
    broken.sort();
    broken.dedup();
    broken
}

/// Whether a response is what it is without the layer, but for the headers that the layer adds.
async fn is_same<R>(plain: Response<Sent>, layered: Response<R>, adds: &[&str]) -> bool
where
    R: Body<Data = Bytes, Error: std::fmt::Debug>,
{
    let (plain, plain_body) = plain.into_parts();
    let (mut layered, layered_body) = layered.into_parts();
    for added in adds {
        layered.headers.remove(*added);
    }
    let length = |hint: http_body::SizeHint| (hint.lower(), hint.upper());
    let mut same = (plain.status, plain.version) == (layered.status, layered.version)
        && plain.extensions.get::<Mark>() == layered.extensions.get::<Mark>()
        && plain.headers == layered.headers
        && length(plain_body.size_hint()) == length(layered_body.size_hint())
        && plain_body.is_end_stream() == layered_body.is_end_stream();
    let plain_body = plain_body.collect().await.expect("a body");
    let layered_body = layered_body.collect().await.expect("a body");
    same &= plain_body.trailers() == layered_body.trailers();
    same && plain_body.to_bytes() == layered_body.to_bytes()
}

#[tokio::test]
async fn every_check_fails_the_layer_that_it_is_there_for() {
    let case = |fault| {
        let (layer, switch) = WrongLayer::new(fault);
        Case {
            layer,
            allowed: Box::new(|| crate::support::request(None)),
            adds: &[],
            refused: Some(Box::new(|| with_header("x-refuse", "1"))),
            store: Some(Store {
                switch,
                asking: Box::new(|| with_header("x-ask", "allowed")),
                refused: Box::new(|| with_header("x-ask", "refused")),
                always: false,
            }),
        }
    };
    assert_eq!(broken(&case(None)).await, [], "the same layer without a fault");
    let faults = [
        (Fault::IsAlwaysReady, ReadinessIsForwarded),
        (Fault::ChargesWhenPolled, PollingCostsNothing),
        (Fault::CallsAClone, ThePolledInstanceIsCalled),
        (Fault::CallsBeforeItChecks, ADenialReachesNobody),
        (Fault::KeepsThePolledInstance, ADenialGivesReadinessBack),
        (Fault::KeepsItUntilItIsRead, ADenialGivesReadinessBack),
        (Fault::KeepsItWhereTheStoreRefuses, ADenialGivesReadinessBack),
        (Fault::AnswersForAnError, ErrorsPassUntouched),
        (Fault::TakesBrokenForReady, ErrorsPassUntouched),
        (Fault::RebuildsTheRequest, WhatIsAllowedPassesUnchanged),
        (Fault::RebuildsTheResponse, WhatIsAllowedPassesUnchanged),
        (Fault::AddsAHeader, WhatIsAllowedPassesUnchanged),
        (Fault::RebuildsTheBody, WhatIsAllowedPassesUnchanged),
        (Fault::AlwaysWaits, WhatIsKnownIsNotWaitedFor),
        (Fault::HoldsALockWhileItAsks, WhatIsKnownIsNotWaitedFor),
        (Fault::GoesOnWithoutTheFuture, ADroppedRequestIsGone),
        (Fault::TakesFailureForRefusal, AFailureIsNoRefusal),
        (Fault::TakesFailureForConsent, AFailureIsNoRefusal),
    ];
    for (fault, promise) in faults {
        let broken = broken(&case(Some(fault))).await;
        assert!(broken.contains(&promise), "{fault:?} was not noticed: {broken:?}");
    }
}
