//! Round trips: how often a request waits for remote stores before its handler runs.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use goat_core::limit::{LimitKey, LimitStore, StoreAcquire, StoreDecision, StoreReply};
use goat_core::store::memory::MemoryLimits;
use goat_core::testing::{Failpoints, Point};
use goat_core::{Quota, Stores};
use goat_server::api::table;
use tracing::field::{Field, Visit};
use tracing::span::{Id, Record};
use tracing::subscriber::NoSubscriber;
use tracing::{Dispatch, Subscriber};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::{Context as LayerContext, Layer, SubscriberExt as _};

use crate::support::app::{TestApp, TestUser};

const VERIFY: &str = "/api/v1/auth/verify";
const ADDRESS: Quota = Quota::per_minute(300);
const USER: Quota = Quota::per_minute(60);

/// The pending requests to a remote limit store. Clones share them.
#[derive(Clone, Debug, Default)]
struct Remote(Arc<Mutex<Vec<(usize, &'static str)>>>);

impl Remote {
    fn pending(&self) -> MutexGuard<'_, Vec<(usize, &'static str)>> {
        self.0.lock().expect("no poisoned lock")
    }

    /// Completes all pending requests, and returns the limits that they were for.
    fn complete(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.pending()).into_iter().map(|(_, limit)| limit).collect()
    }
}

#[derive(Debug, Default)]
struct RemoteLimits {
    inner: MemoryLimits,
    remote: Remote,
}

impl LimitStore for RemoteLimits {
    fn acquire(&self, key: LimitKey, quota: Quota, elapsed: Duration) -> StoreAcquire {
        let limit = match quota {
            ADDRESS => "address",
            USER => "user",
            _ => "another",
        };
        self.remote.reply(limit, self.inner.acquire(key, quota, elapsed))
    }

    fn acquire_both(
        &self,
        counters: [(LimitKey, Quota); 2],
        elapsed: Duration,
    ) -> StoreReply<[StoreDecision; 2]> {
        self.remote.reply("two", self.inner.acquire_both(counters, elapsed))
    }

    fn reset(&self, key: LimitKey, quota: Quota) -> StoreReply<()> {
        self.inner.reset(key, quota)
    }
}

impl Remote {
    /// Replies once the request is completed.
    fn reply<T: Send + 'static>(&self, limit: &'static str, reply: StoreReply<T>) -> StoreReply<T> {
        let remote = self.clone();
        StoreReply::Pending(Box::pin(async move {
            let mine = {
                let mut pending = remote.pending();
                let mine = pending.last().map_or(0, |(last, _)| last + 1);
                pending.push((mine, limit));
                mine
            };
            poll_fn(|_| match remote.pending().iter().any(|(number, _)| *number == mine) {
                true => Poll::Pending,
                false => Poll::Ready(()),
            })
            .await;
            reply.wait().await
        }))
    }
}

/// An app with remote limits and pausable stores, and an administrator.
async fn app() -> (TestApp, Remote, Failpoints, TestUser) {
    let (stores, failpoints) = Failpoints::over(Stores::memory());
    let limits = RemoteLimits::default();
    let remote = limits.remote.clone();
    let app = TestApp::with(|setup| {
        setup.stores = Stores { limits: Arc::new(limits), ..stores };
        setup.every_route();
        setup.goat.account_quota = None;
        setup.goat.account_day_quota = None;
        setup.limits.address = Some(ADDRESS);
        setup.limits.user = Some(USER);
        setup.limits.verify = Some(USER);
        setup.limits.session_control = Some(USER);
    });
    let app = app.await;
    let admin = app.admin().await;
    app.goat.authenticate_token(&admin.token).await.expect("a live session");
    let _before = failpoints.take_calls();
    (app, remote, failpoints, admin)
}

/// Polls once without a waker.
fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[track_caller]
fn ready<T>(poll: Poll<T>) -> T {
    let Poll::Ready(response) = poll else { panic!("one more round trip") };
    response
}

#[tokio::test]
async fn cached_session_costs_one_round_trip() {
    let (app, remote, failpoints, admin) = app().await;
    let mut sent = pin!(app.get(VERIFY).bearer(&admin.token).send());
    assert!(poll(sent.as_mut()).is_pending());
    assert_eq!(remote.complete(), ["address", "user"]);
    let response = ready(poll(sent));
    assert_eq!(response.status, 204);
    assert_eq!(response.header("ratelimit"), r#""address";r=299;t=60, "verify";r=59;t=60"#);
    assert_eq!(failpoints.take_calls(), [""; 0]);
}

/// The profile is in the cache of the session's validation.
#[tokio::test]
async fn profile_of_a_cached_session_costs_one_round_trip() {
    let (app, remote, failpoints, admin) = app().await;
    let mut sent = pin!(app.get("/api/v1/user").bearer(&admin.token).send());
    assert!(poll(sent.as_mut()).is_pending());
    assert_eq!(remote.complete(), ["address", "user"]);
    let response = ready(poll(sent));
    assert_eq!(response.data()["email"], admin.email);
    assert_eq!(failpoints.take_calls(), [""; 0]);
}

#[tokio::test]
async fn uncached_session_costs_two_round_trips() {
    let (app, remote, failpoints, admin) = app().await;
    app.clock.advance(Duration::from_secs(120));
    let session = failpoints.hold("sessions.find", Point::Entry);
    let mut sent = pin!(app.get(VERIFY).bearer(&admin.token).send());
    assert!(poll(sent.as_mut()).is_pending());
    session.reached().await;
    assert_eq!(remote.complete(), ["address"], "together with the session");
    assert!(poll(sent.as_mut()).is_pending());
    session.release();
    // A task of its own reads the session (single-flight).
    for _ in 0..10 {
        tokio::task::yield_now().await;
        assert!(poll(sent.as_mut()).is_pending());
    }
    assert_eq!(remote.complete(), ["user"]);
    assert_eq!(ready(poll(sent)).status, 204);
    assert_eq!(failpoints.take_calls().iter().filter(|call| **call == "sessions.find").count(), 1);
}

/// Only the address is charged, and 429 precedes 401.
#[tokio::test]
async fn invalid_token_costs_one_round_trip_and_charges_the_address_only() {
    let (app, remote, failpoints, _) = app().await;
    for left in (0..=ADDRESS.limit()).rev() {
        let request = app.get(VERIFY);
        let request = if left % 2 == 0 { request } else { request.bearer("nonsense") };
        let mut sent = pin!(request.send());
        assert!(poll(sent.as_mut()).is_pending());
        assert_eq!(remote.complete(), ["address"]);
        let response = ready(poll(sent));
        let status = if left == 0 { 429 } else { 401 };
        let shown = format!(r#""address";r={};t=60"#, left.saturating_sub(1));
        assert_eq!((response.status, response.header("ratelimit")), (status, shown.as_str()));
    }
    assert_eq!(failpoints.take_calls(), [""; 0]);
}

/// Each request is dropped while it waits, so that none has an effect.
#[tokio::test]
async fn every_protected_route_acquires_both_limits_concurrently() {
    let (app, remote, failpoints, admin) = app().await;
    for endpoint in table().into_iter().filter(|endpoint| endpoint.rule().is_protected()) {
        let path = endpoint.path();
        let request = app.request(endpoint.method().clone(), path).bearer(&admin.token);
        assert!(poll(pin!(request.send())).is_pending(), "{path}");
        assert_eq!(remote.complete(), ["address", "user"], "{path}");
    }
    assert_eq!(failpoints.take_calls(), [""; 0]);
}

/// The users that the request's span records.
#[derive(Clone, Debug, Default)]
struct NamedUsers(Arc<Mutex<Vec<String>>>);

impl Visit for NamedUsers {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "user" {
            self.0.lock().expect("no poisoned lock").push(format!("{value:?}"));
        }
    }
}

impl<S: Subscriber> Layer<S> for NamedUsers {
    fn on_record(&self, _: &Id, values: &Record<'_>, _: LayerContext<'_, S>) {
        values.record(&mut self.clone());
    }
}

/// The span has the user even if the limit of the user rejects the request.
#[tokio::test]
async fn log_names_the_user_of_a_limited_request() {
    // With a single subscriber, tracing caches whether the first thread that reaches a span wants it,
    // and that may be the thread of another test.
    let _second = Dispatch::new(NoSubscriber::new());
    for cold in [false, true] {
        let app = TestApp::with(|setup| {
            setup.limits.address = Some(Quota::per_minute(5));
            setup.limits.verify = Some(Quota::per_minute(1));
        });
        let app = app.await;
        let client = app.client().await;
        let named = NamedUsers::default();
        let guard = tracing::subscriber::set_default(Registry::default().with(named.clone()));
        // Allowed, forbidden, and over the limit of the user: each names the user.
        for (path, status) in [(VERIFY, 204), ("/api/v1/user/list", 403), (VERIFY, 429)] {
            if cold {
                app.clock.advance(Duration::from_secs(10));
            }
            assert_eq!(app.get(path).bearer(&client.token).send().await.status, status);
            let users = std::mem::take(&mut *named.0.lock().expect("no poisoned lock"));
            assert_eq!(users, [client.id.to_string()], "{status}");
        }
        // Unauthenticated, and over the address limit: no user.
        for (token, status) in [("nonsense", 401), ("nonsense", 401), (&*client.token, 429)] {
            assert_eq!(app.get(VERIFY).bearer(token).send().await.status, status);
            assert_eq!(*named.0.lock().expect("no poisoned lock"), [""; 0], "{status}");
        }
        drop(guard);
    }
}
