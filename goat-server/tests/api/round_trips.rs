//! How often a request waits for stores elsewhere before a handler gets to see it, and that this
//! changes nothing of what is known about it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use goat_core::limit::{LimitKey, LimitStore, Spending};
use goat_core::store::memory::MemoryLimits;
use goat_core::testing::{Pauses, Point};
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

/// Limits at the other end of a wire: what was asked and has not been answered. Clones are one.
#[derive(Clone, Debug, Default)]
struct Wire(Arc<Mutex<Vec<(usize, &'static str)>>>);

impl Wire {
    fn under_way(&self) -> MutexGuard<'_, Vec<(usize, &'static str)>> {
        self.0.lock().expect("no test panics with it")
    }

    /// Lets all that is under way be answered, and says what that was.
    fn response(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.under_way()).into_iter().map(|(_, limit)| limit).collect()
    }
}

#[derive(Debug, Default)]
struct Elsewhere {
    inner: MemoryLimits,
    wire: Wire,
}

impl LimitStore for Elsewhere {
    fn spend(&self, key: LimitKey, quota: Quota, elapsed: Duration) -> Spending {
        let Spending::Done(spent) = self.inner.spend(key, quota, elapsed) else {
            panic!("memory responses at once")
        };
        let limit = match quota {
            ADDRESS => "address",
            USER => "user",
            _ => "another",
        };
        let wire = self.wire.clone();
        Spending::Pending(Box::pin(async move {
            let mine = {
                let mut under_way = wire.under_way();
                let mine = under_way.last().map_or(0, |(last, _)| last + 1);
                under_way.push((mine, limit));
                mine
            };
            poll_fn(|_| match wire.under_way().iter().any(|(number, _)| *number == mine) {
                true => Poll::Pending,
                false => Poll::Ready(()),
            })
            .await;
            Ok(spent)
        }))
    }
}

/// An app whose limits are elsewhere, whose other calls can be held, and somebody who may all.
async fn app() -> (TestApp, Wire, Pauses, TestUser) {
    let (stores, pauses) = Pauses::over(Stores::memory());
    let limits = Elsewhere::default();
    let wire = limits.wire.clone();
    let app = TestApp::with(|setup| {
        setup.stores = Stores { limits: Arc::new(limits), ..stores };
        setup.goat.account_quota = None;
        setup.limits.address = Some(ADDRESS);
        setup.limits.user = Some(USER);
    });
    let app = app.await;
    let admin = app.admin().await;
    app.goat.authenticate_token(&admin.token).await.expect("a live session");
    let _before = pauses.take_calls();
    (app, wire, pauses, admin)
}

/// Polls once, with nobody to wake: what a test lets arrive is there at the next poll.
fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[track_caller]
fn answered<T>(poll: Poll<T>) -> T {
    let Poll::Ready(response) = poll else { panic!("it waits once more") };
    response
}

#[tokio::test]
async fn a_session_that_the_cache_knows_costs_one_round_trip() {
    let (app, wire, pauses, admin) = app().await;
    let mut sent = pin!(app.get(VERIFY).bearer(&admin.token).send());
    assert!(poll(sent.as_mut()).is_pending());
    assert_eq!(wire.response(), ["address", "user"]);
    let response = answered(poll(sent));
    assert_eq!(response.status, 204);
    assert_eq!(response.header("ratelimit"), r#""address";r=299;t=60, "user";r=59;t=60"#);
    assert_eq!(pauses.take_calls(), [""; 0]);
}

#[tokio::test]
async fn a_session_that_it_does_not_know_costs_two() {
    let (app, wire, pauses, admin) = app().await;
    app.clock.advance(Duration::from_secs(120));
    let session = pauses.hold("sessions.find", Point::Entry);
    let mut sent = pin!(app.get(VERIFY).bearer(&admin.token).send());
    assert!(poll(sent.as_mut()).is_pending());
    session.reached().await;
    assert_eq!(wire.response(), ["address"], "and the session, at the same time");
    assert!(poll(sent.as_mut()).is_pending());
    session.release();
    // A session is read on a task of its own, for all who ask for it meanwhile.
    for _ in 0..10 {
        tokio::task::yield_now().await;
        assert!(poll(sent.as_mut()).is_pending());
    }
    assert_eq!(wire.response(), ["user"]);
    assert_eq!(answered(poll(sent)).status, 204);
    assert_eq!(pauses.take_calls().iter().filter(|call| **call == "sessions.find").count(), 1);
}

/// The address alone is charged, and 429 wins over 401.
#[tokio::test]
async fn a_token_that_does_not_do_costs_one_and_charges_the_address_alone() {
    let (app, wire, pauses, _) = app().await;
    for left in (0..=ADDRESS.limit()).rev() {
        let request = app.get(VERIFY);
        let request = if left % 2 == 0 { request } else { request.bearer("nonsense") };
        let mut sent = pin!(request.send());
        assert!(poll(sent.as_mut()).is_pending());
        assert_eq!(wire.response(), ["address"]);
        let response = answered(poll(sent));
        let status = if left == 0 { 429 } else { 401 };
        let shown = format!(r#""address";r={};t=60"#, left.saturating_sub(1));
        assert_eq!((response.status, response.header("ratelimit")), (status, shown.as_str()));
    }
    assert_eq!(pauses.take_calls(), [""; 0]);
}

/// Each is dropped while it waits, so that none of them does what it is for.
#[tokio::test]
async fn every_protected_route_asks_both_limits_at_once_and_nothing_else_yet() {
    let (app, wire, pauses, admin) = app().await;
    for endpoint in table().into_iter().filter(|endpoint| endpoint.rule().is_protected()) {
        let path = endpoint.path();
        let request = app.request(endpoint.method().clone(), path).bearer(&admin.token);
        assert!(poll(pin!(request.send())).is_pending(), "{path}");
        assert_eq!(wire.response(), ["address", "user"], "{path}");
    }
    assert_eq!(pauses.take_calls(), [""; 0]);
}

/// What the request's span is told of the user, as lines of the log show it.
#[derive(Clone, Debug, Default)]
struct NamedUsers(Arc<Mutex<Vec<String>>>);

impl Visit for NamedUsers {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "user" {
            self.0.lock().expect("no test panics with it").push(format!("{value:?}"));
        }
    }
}

impl<S: Subscriber> Layer<S> for NamedUsers {
    fn on_record(&self, _: &Id, values: &Record<'_>, _: LayerContext<'_, S>) {
        values.record(&mut self.clone());
    }
}

/// Nothing behind the limit by user sees who is refused by it, and yet the log says who that was.
#[tokio::test]
async fn the_log_names_who_is_refused_once_that_is_known() {
    // While there is but one subscriber, tracing asks the first thread that meets a span whether
    // anybody wants it, and that may be another test's.
    let _second = Dispatch::new(NoSubscriber::new());
    for cold in [false, true] {
        let app = TestApp::with(|setup| {
            setup.limits.address = Some(Quota::per_minute(5));
            setup.limits.user = Some(Quota::per_minute(2));
        });
        let app = app.await;
        let client = app.client().await;
        let named = NamedUsers::default();
        let guard = tracing::subscriber::set_default(Registry::default().with(named.clone()));
        // Let through, forbidden, and refused by the limit by user: each names the user.
        for (path, status) in [(VERIFY, 204), ("/api/v1/user/list", 403), (VERIFY, 429)] {
            if cold {
                app.clock.advance(Duration::from_secs(10));
            }
            assert_eq!(app.get(path).bearer(&client.token).send().await.status, status);
            let users = std::mem::take(&mut *named.0.lock().expect("no test panics with it"));
            assert_eq!(users, [client.id.to_string()], "{status}");
        }
        // Nobody, and whom the address has shut out.
        for (token, status) in [("nonsense", 401), ("nonsense", 401), (&*client.token, 429)] {
            assert_eq!(app.get(VERIFY).bearer(token).send().await.status, status);
            assert_eq!(*named.0.lock().expect("no test panics with it"), [""; 0], "{status}");
        }
        drop(guard);
    }
}
