//! The layer contract, as checks that name the broken_promises promise. They run over all layers,
//! and over faulty layers to show that each check detects its fault.
//!
//! By file: the promises and their checks (here), the layers (`layers`), readiness and concurrency
//! limits (`readiness`), cancellation and store failures (`cancellation`), and the faulty layers
//! (`faulty_layer`).

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

use crate::support::stores::{StoreState, Switch};
use crate::support::{Mark, Odd, Probe, Sent, with_header};
use faulty_layer::{Fault, FaultyLayer};

/// A promise of the layer contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Promise {
    ReadinessIsForwarded,
    PollingHasNoEffect,
    ThePolledInstanceIsCalled,
    ADenialStaysOutside,
    ADenialReleasesReadiness,
    ErrorsPassUnchanged,
    AllowedRequestsPassUnchanged,
    CachedDecisionsDoNotWait,
    DroppingCancels,
    AFailureIsUnavailable,
}
use Promise::*;

type Make = Box<dyn Fn() -> Request<Sent>>;

/// A layer with requests that it allows and rejects, and control over its store.
struct Case<L> {
    layer: L,
    /// Allowed by cached data, any number of times.
    allowed: Make,
    /// The headers that the layer may add to the response.
    adds: &'static [&'static str],
    /// Rejected without a store call, if the layer rejects at all.
    rejected: Option<Make>,
    store: Option<Store>,
}

/// The store that a layer calls.
struct Store {
    switch: Switch,
    /// Allowed after a store call, for a user without a cache entry.
    via_store: Make,
    /// Rejected after a store call.
    rejected: Make,
    /// Whether cached requests call the store too.
    always: bool,
}

/// Returns the promises that a layer breaks.
async fn broken_promises<L, S, R>(case: &Case<L>) -> Vec<Promise>
where
    L: Layer<Probe, Service = S>,
    S: Service<Request<Sent>, Response = Response<R>, Error = Odd, Future: Send + 'static> + Clone,
    R: Body<Data = Bytes, Error: std::fmt::Debug> + Send + 'static,
{
    let mut broken_promises = Vec::new();
    let mut note = |promise, kept: bool| {
        if !kept {
            broken_promises.push(promise);
        }
    };
    let fresh = || {
        let probe = Probe::default();
        let seen = Arc::clone(&probe.seen);
        (case.layer.layer(probe), seen)
    };
    let mut context = Context::from_waker(Waker::noop());

    // Pending while the inner service is; then ready, with one reservation.
    let (mut service, seen) = fresh();
    seen.stall(true);
    let early = service.poll_ready(&mut context).is_ready();
    seen.stall(false);
    let then = service.poll_ready(&mut context).is_ready();
    let again = service.poll_ready(&mut context).is_ready();
    note(ReadinessIsForwarded, !early && then && again && seen.reserved() == 1);
    drop(service);

    // Polling a thousand times has the effect of polling once.
    let (mut service, seen) = fresh();
    for _ in 0..1000 {
        assert!(service.poll_ready(&mut context).is_ready());
    }
    let response = service.call((case.allowed)()).await;
    note(PollingHasNoEffect, response.is_ok() && seen.calls() == 1);

    // Each call reaches the instance that was polled ready.
    let (mut service, seen) = fresh();
    for _ in 0..3 {
        let response = service.ready().await.expect("ready").call((case.allowed)()).await;
        assert!(response.is_ok());
    }
    note(ThePolledInstanceIsCalled, seen.calls() == 3 && seen.unready_calls() == 0);

    // A denial does not reach the inner service, and releases the reservation during the call, not
    // only when the response is read.
    if let Some(rejected) = &case.rejected {
        let (mut service, seen) = fresh();
        let denial = service.ready().await.expect("ready").call(rejected());
        let released = seen.reserved() == 0;
        let denial = denial.await;
        assert!(denial.is_ok_and(|denial| denial.extensions().get::<Mark>().is_none()));
        note(ADenialStaysOutside, seen.calls() == 0);
        note(ADenialReleasesReadiness, released && seen.reserved() == 0);
    }

    // The inner service's errors, from a call and from `poll_ready`.
    let (mut service, seen) = fresh();
    let mut failing = (case.allowed)();
    failing.headers_mut().insert("x-fail", "1".parse().expect("a value"));
    let called = service.ready().await.expect("ready").call(failing).await;
    seen.break_down();
    let polled = service.poll_ready(&mut context);
    note(
        ErrorsPassUnchanged,
        matches!(called, Err(Odd::Failed)) && matches!(polled, Poll::Ready(Err(Odd::BrokenDown))),
    );

    // An allowed request, compared with the same without the layer.
    let marked = || {
        let mut request = (case.allowed)();
        *request.version_mut() = Version::HTTP_2;
        request.extensions_mut().insert(Mark("of the request".to_owned()));
        request
    };
    let (service, _) = fresh();
    let plain = Probe::default().oneshot(marked()).await.expect("a response");
    let layered = service.oneshot(marked()).await.expect("a response");
    note(AllowedRequestsPassUnchanged, is_same(plain, layered, case.adds).await);

    // Ready at the first poll if the inner service is.
    let (mut service, _) = fresh();
    assert!(service.poll_ready(&mut context).is_ready());
    let future = pin!(service.call((case.allowed)()));
    note(CachedDecisionsDoNotWait, future.poll(&mut context).is_ready());

    if let Some(store) = &case.store {
        // Dropped during the store call.
        let (mut service, seen) = fresh();
        let via_store = (store.via_store)();
        assert!(service.clone().oneshot((case.allowed)()).await.is_ok(), "cached");
        store.switch.set(StoreState::Hanging);
        assert!(service.poll_ready(&mut context).is_ready());
        let mut future = Box::pin(service.call(via_store));
        assert!(future.as_mut().poll(&mut context).is_pending());
        assert_eq!(seen.reserved(), 1, "a waiting call holds its reservation");
        if !store.always {
            // Other requests do not wait for that call.
            let other = pin!(service.clone().oneshot((case.allowed)()));
            note(CachedDecisionsDoNotWait, other.poll(&mut context).is_ready());
        }
        drop(service);
        drop(future);
        let (released, calls) = (seen.reserved() == 0, seen.calls());
        store.switch.set(StoreState::Up);
        // A layer that continues without the future would do so now.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        note(DroppingCancels, released && seen.calls() == calls);

        let (service, seen) = fresh();
        store.switch.set(StoreState::Down);
        let response = service.oneshot((store.via_store)()).await;
        store.switch.set(StoreState::Up);
        let unavailable = response.is_ok_and(|response| response.status() == 503);
        note(AFailureIsUnavailable, unavailable && seen.calls() == 0);

        // After the store call, the polled instance is called.
        let (mut service, seen) = fresh();
        store.switch.set(StoreState::Hanging);
        assert!(service.poll_ready(&mut context).is_ready());
        let mut future = Box::pin(service.call((store.via_store)()));
        assert!(future.as_mut().poll(&mut context).is_pending());
        store.switch.set(StoreState::Up);
        assert!(future.await.is_ok());
        let polled = seen.calls() == 1 && seen.unready_calls() == 0 && seen.reserved() == 0;
        note(ThePolledInstanceIsCalled, polled);

        // After a rejection the instance is dropped, while the future and the service still exist.
        let (mut service, seen) = fresh();
        store.switch.set(StoreState::Hanging);
        assert!(service.poll_ready(&mut context).is_ready());
        let mut future = Box::pin(service.call((store.rejected)()));
        assert!(future.as_mut().poll(&mut context).is_pending());
        store.switch.set(StoreState::Up);
        let denial = future.as_mut().await;
        assert!(denial.is_ok_and(|denial| denial.extensions().get::<Mark>().is_none()));
        note(ADenialStaysOutside, seen.calls() == 0);
        note(ADenialReleasesReadiness, seen.reserved() == 0);
    }
    broken_promises.sort();
    broken_promises.dedup();
    broken_promises
}

/// Returns whether a response equals the one without the layer, except for the added headers.
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
async fn every_check_detects_its_fault() {
    let case = |fault| {
        let (layer, switch) = FaultyLayer::new(fault);
        Case {
            layer,
            allowed: Box::new(|| crate::support::request(None)),
            adds: &[],
            rejected: Some(Box::new(|| with_header("x-reject", "1"))),
            store: Some(Store {
                switch,
                via_store: Box::new(|| with_header("x-store", "allowed")),
                rejected: Box::new(|| with_header("x-store", "rejected")),
                always: false,
            }),
        }
    };
    assert_eq!(broken_promises(&case(None)).await, [], "the same layer without a fault");
    let faults = [
        (Fault::IsAlwaysReady, ReadinessIsForwarded),
        (Fault::ChargesWhenPolled, PollingHasNoEffect),
        (Fault::CallsAClone, ThePolledInstanceIsCalled),
        (Fault::CallsBeforeItChecks, ADenialStaysOutside),
        (Fault::KeepsThePolledInstance, ADenialReleasesReadiness),
        (Fault::KeepsItUntilTheResponseIsRead, ADenialReleasesReadiness),
        (Fault::KeepsItIfTheStoreRejects, ADenialReleasesReadiness),
        (Fault::RespondsToAnError, ErrorsPassUnchanged),
        (Fault::IgnoresReadinessErrors, ErrorsPassUnchanged),
        (Fault::RebuildsTheRequest, AllowedRequestsPassUnchanged),
        (Fault::RebuildsTheResponse, AllowedRequestsPassUnchanged),
        (Fault::AddsAHeader, AllowedRequestsPassUnchanged),
        (Fault::RebuildsTheBody, AllowedRequestsPassUnchanged),
        (Fault::AlwaysWaits, CachedDecisionsDoNotWait),
        (Fault::HoldsALockWhileWaiting, CachedDecisionsDoNotWait),
        (Fault::ContinuesAfterDrop, DroppingCancels),
        (Fault::TreatsFailureAsRejection, AFailureIsUnavailable),
        (Fault::TreatsFailureAsAllowed, AFailureIsUnavailable),
    ];
    for (fault, promise) in faults {
        let broken_promises = broken_promises(&case(Some(fault))).await;
        assert!(
            broken_promises.contains(&promise),
            "{fault:?} was not noticed: {broken_promises:?}"
        );
    }
}
