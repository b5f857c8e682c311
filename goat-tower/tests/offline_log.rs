//! What the log says where nobody is let through because tokens name no permissions. Alone in its
//! process, since a process has one subscriber.

#![cfg(feature = "tracing")]
#![expect(clippy::unwrap_used, reason = "in tests, what fails should fail")]

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use goat_core::Permission;
use goat_core::testing::TestGoat;
use goat_core::token::{TokenSettings, Verifier};
use goat_tower::offline::VerifierExt;
use http::{Request, Response};
use http_body_util::Empty;
use tower::{Layer, ServiceExt, service_fn};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};

const REPORTS: Permission = Permission::new("report:read");

/// Keeps the lines that goat-tower logs.
#[derive(Clone, Default)]
struct Keeper(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl tracing::Subscriber for Keeper {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("goat_tower")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn a_required_permission_that_no_token_names_is_one_line_and_not_one_a_request() {
    let keeper = Keeper::default();
    tracing::subscriber::set_global_default(keeper.clone()).unwrap();
    // As goat comes: no permissions in its tokens.
    let issuer = TestGoat::new();
    let root = issuer.sign_in("root", [Permission::FULL_ACCESS]).await;
    let (jwks, clock) = (issuer.goat.jwks().to_string(), Arc::new(issuer.clock.clone()));
    let verifier = Verifier::with_clock(jwks, TokenSettings::default(), clock).unwrap();
    let layer = verifier.require(REPORTS);
    let handler = service_fn(async |_: Request<()>| {
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    // A layer that is laid over several routes says it once for all.
    let routes = [layer.layer(handler), layer.clone().layer(handler)];
    for route in routes.iter().cycle().take(6) {
        let request = Request::builder().header("authorization", root.bearer());
        let response = route.clone().oneshot(request.body(()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 403);
    }
    let lines = keeper.0.lock().unwrap();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("WARN"), "{lines:?}");
    assert!(lines[0].contains("GOAT_ACCESS_TOKEN_PERMISSIONS=true"), "{lines:?}");
    assert!(!lines[0].contains(root.access_token()), "L1");
}
