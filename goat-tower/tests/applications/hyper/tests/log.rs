//! Log message for a missing peer address, with goat-tower's default features. A process of its
//! own, since the global subscriber can be set only once.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use application_hyper::Reports;
use goat_core::testing::TestGoat;
use goat_tower::{GoatExt as _, goat_core};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use tower_layer::Layer as _;
use tower_service::Service as _;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};

/// Collects the errors that goat-tower logs.
#[derive(Clone, Default)]
struct Keeper(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, "{field}={value:?} ").expect("room");
    }
}

impl tracing::Subscriber for Keeper {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("goat_tower") && *metadata.level() == tracing::Level::ERROR
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().expect("no panic").push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn a_missing_peer_address_is_logged() {
    let collector = Keeper::default();
    tracing::subscriber::set_global_default(collector.clone()).expect("the only one");
    let goat = TestGoat::new().goat;
    let limit = goat.limit(goat_core::Quota::per_minute(10)).by_address();
    let request = Request::get("/reports").body(Empty::<Bytes>::new()).expect("a request");
    let response = limit.layer(Reports).call(request).await.expect("a response");
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let lines = collector.0.lock().expect("no panic");
    assert!(matches!(&lines[..], [one] if one.contains("put a PeerAddress")), "{lines:?}");
}
