//! Limits by path template, without a framework that provides it.

use std::sync::Arc;

use goat_core::Quota;
use goat_core::testing::TestGoat;
use goat_tower::{GoatExt, PathTemplate};
use http::Request;
use tower::Layer;

use crate::support::{Sent, in_grpc, request, send, whoami};

fn at(path: &str) -> Request<Sent> {
    let mut request = request(None);
    *request.uri_mut() = path.parse().unwrap();
    request
}

fn on(path: &str, template: impl Into<PathTemplate>) -> Request<Sent> {
    let mut request = at(path);
    request.extensions_mut().insert::<PathTemplate>(template.into());
    request
}

#[tokio::test]
async fn a_route_is_counted_across_parameter_values() {
    let test = TestGoat::new();
    let service = test.goat.limit(Quota::per_minute(1)).by_path_template().layer(whoami());
    let response = send(&service, on("/users/7", "/users/{id}")).await;
    assert_eq!(
        (response.outcome(), response.header("ratelimit")),
        ((200, ""), r#""path";r=0;t=60"#)
    );
    let runtime_template: Arc<str> = "/users/{id}".into();
    let response = send(&service, on("/users/8", runtime_template)).await;
    assert_eq!(response.outcome(), (429, "rate-limited"));
    assert_eq!(send(&service, on("/users", "/users")).await.outcome(), (200, ""));
}

/// L3: also for requests that claim to be gRPC.
#[tokio::test]
async fn paths_without_a_template_share_one_counter() {
    let test = TestGoat::new();
    let service = test.goat.limit(Quota::per_minute(1)).by_path_template().layer(whoami());
    assert_eq!(send(&service, at("/random/0")).await.outcome(), (200, ""));
    let keys = test.goat.limits().load().unwrap().keys;
    for index in 1..50 {
        assert_eq!(send(&service, at(&format!("/{index}"))).await.status, 429);
        let request = in_grpc(at(&format!("/random/{index}")), "application/grpc");
        // RESOURCE_EXHAUSTED: a gRPC client does not read the HTTP status.
        assert_eq!(send(&service, request).await.header("grpc-status"), "8");
    }
    assert_eq!(test.goat.limits().load().unwrap().keys, keys);
    assert_eq!(send(&service, on("/users/7", "/users/{id}")).await.outcome(), (200, ""));
    assert_eq!(test.goat.limits().load().unwrap().keys, keys + 1);
}

#[tokio::test]
async fn named_paths_are_counted_separately_and_all_others_together() {
    let test = TestGoat::new();
    let methods = ["/greet.Greeter/SayHello", "/greet.Greeter/SayGoodbye"];
    let limit = test.goat.limit(Quota::per_minute(1)).by_address().by_path_among(methods);
    assert!(limit.to_string().contains(r#"limit "address-path""#), "{limit}");
    let service = limit.layer(whoami());
    for method in methods {
        assert_eq!(send(&service, at(method)).await.outcome(), (200, ""), "{method}");
        assert_eq!(send(&service, at(method)).await.status, 429, "{method}");
        // The query does not matter.
        assert_eq!(send(&service, at(&format!("{method}?x=1"))).await.status, 429, "{method}");
    }
    let invented = ["/greet.Greeter/A", "/greet.Greeter/B", "/greet.Greeter/sayHello"];
    let mut statuses = Vec::new();
    for method in invented {
        statuses.push(send(&service, at(method)).await.status.as_u16());
    }
    assert_eq!(statuses, [200, 429, 429]);
    // A template in the extensions takes precedence.
    assert_eq!(send(&service, on(methods[0], "/another")).await.outcome(), (200, ""));
}
