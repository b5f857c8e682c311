//! Wrong orders of layers, and missing layers: each row of the crate documentation's table of
//! mistakes.

#[cfg(feature = "axum")]
mod log;

use goat_core::Quota;
use goat_core::testing::{TestGoat, TestUser};
use goat_tower::GoatExt;
use goat_tower::address::{ClientAddressLayer, PeerAddress, TrustedProxies};
use http::{Method, Request};
use http_body_util::Full;
use tower::ServiceBuilder;

use crate::support::{EXPORTS, REPORTS, Sent, request, send, whoami, with_header};

async fn alice() -> (TestGoat, TestUser) {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", [REPORTS]).await;
    (test, alice)
}

#[tokio::test]
async fn a_limit_by_user_outside_authentication_rejects_every_request() {
    let (test, alice) = alice().await;
    let service = ServiceBuilder::new()
        .layer(test.goat.limit(Quota::per_minute(9)).by_user())
        .layer(test.goat.authenticate())
        .service(whoami());
    assert_eq!(send(&service, request(Some(&alice))).await.outcome(), (500, "internal"));
}

#[tokio::test]
async fn a_limit_by_address_inside_authentication_does_not_count_invalid_tokens() {
    let (test, alice) = alice().await;
    let service = ServiceBuilder::new()
        .layer(test.goat.authenticate())
        .layer(test.goat.limit(Quota::per_minute(1)).by_address())
        .service(whoami());
    for _ in 0..3 {
        let response = send(&service, with_header("authorization", "Bearer nonsense")).await;
        assert_eq!(response.outcome(), (401, "invalid-token"));
    }
    assert_eq!(send(&service, request(Some(&alice))).await.outcome(), (200, ""));
}

#[tokio::test]
async fn a_limit_inside_a_requirement_does_not_count_forbidden_requests() {
    let (test, alice) = alice().await;
    let limit = || test.goat.limit(Quota::per_minute(1)).by_user();
    let inside = ServiceBuilder::new()
        .layer(test.goat.require(EXPORTS))
        .layer(limit().named("inside"))
        .service(whoami());
    let outside = ServiceBuilder::new()
        .layer(test.goat.authenticate())
        .layer(limit().named("outside"))
        .layer(test.goat.require(EXPORTS))
        .service(whoami());
    for expected in [403, 403] {
        assert_eq!(send(&inside, request(Some(&alice))).await.status, expected);
    }
    for expected in [403, 429] {
        assert_eq!(send(&outside, request(Some(&alice))).await.status, expected);
    }
}

#[tokio::test]
async fn a_requirement_outside_authentication_authenticates_by_itself() {
    let (test, alice) = alice().await;
    let bob = test.sign_in("bob", []).await;
    let service = ServiceBuilder::new()
        .layer(test.goat.require(REPORTS))
        .layer(test.goat.authenticate())
        .service(whoami());
    assert_eq!(send(&service, request(Some(&alice))).await.outcome(), (200, ""));
    assert_eq!(send(&service, request(Some(&bob))).await.outcome(), (403, "forbidden"));
    assert_eq!(send(&service, request(None)).await.outcome(), (401, "unauthenticated"));
}

/// Returns the statuses of two clients behind one proxy, with a limit of one request a minute.
async fn behind_a_proxy(is_outside: bool) -> [u16; 2] {
    let test = TestGoat::new();
    let find = || ClientAddressLayer::new().trust(TrustedProxies::parse(["10.0.0.1"]).unwrap());
    let limit = test.goat.limit(Quota::per_minute(1)).by_address();
    let fetch = |client: &str| {
        let peer = PeerAddress(([10, 0, 0, 1], 4711).into());
        let request = Request::builder().extension(peer).header("x-forwarded-for", client);
        request.body(Full::from("sent")).unwrap()
    };
    let clients = [fetch("192.0.2.7"), fetch("192.0.2.8")];
    let mut statuses = [0; 2];
    if is_outside {
        let service = ServiceBuilder::new().layer(find()).layer(limit).service(whoami());
        for (status, request) in statuses.iter_mut().zip(clients) {
            *status = send(&service, request).await.status.as_u16();
        }
    } else {
        let service = ServiceBuilder::new().layer(limit).layer(find()).service(whoami());
        for (status, request) in statuses.iter_mut().zip(clients) {
            *status = send(&service, request).await.status.as_u16();
        }
    }
    statuses
}

#[tokio::test]
async fn a_client_address_layer_inside_a_limit_counts_all_clients_as_the_proxy() {
    assert_eq!(behind_a_proxy(true).await, [200, 200]);
    assert_eq!(behind_a_proxy(false).await, [200, 429]);
}

#[tokio::test]
async fn a_limit_by_address_without_a_peer_rejects_every_request() {
    let (test, _) = alice().await;
    let service = ServiceBuilder::new()
        .layer(test.goat.limit(Quota::per_minute(9)).by_address())
        .service(whoami());
    let from_nowhere: Request<Sent> = Request::new(Full::from("sent"));
    assert_eq!(send(&service, from_nowhere).await.outcome(), (500, "internal"));
}

/// Browsers send CORS preflight requests without credentials.
#[tokio::test]
async fn a_preflight_request_is_unauthenticated() {
    let (test, _) = alice().await;
    let service = ServiceBuilder::new().layer(test.goat.authenticate()).service(whoami());
    let mut preflight = with_header("access-control-request-headers", "authorization");
    *preflight.method_mut() = Method::OPTIONS;
    assert_eq!(send(&service, preflight).await.outcome(), (401, "unauthenticated"));
}

#[cfg(feature = "axum")]
mod router {
    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;
    use goat_core::testing::TestGoat;
    use goat_tower::{GoatExt, Principal};
    use http::Request;
    use tower::ServiceExt;

    async fn mine(me: Principal) -> String {
        me.user().to_string()
    }

    /// Returns the status of an anonymous request.
    async fn status(app: &Router, path: &str) -> u16 {
        let request = Request::get(path).body(Body::empty()).unwrap();
        app.clone().oneshot(request).await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn a_route_added_after_the_layer_is_not_protected() {
        let goat = TestGoat::new().goat;
        let app = Router::new()
            .route("/before", get(async || ()))
            .layer(goat.authenticate())
            .route("/after", get(async || ()))
            .route("/mine", get(mine));
        assert_eq!(status(&app, "/before").await, 401);
        assert_eq!(status(&app, "/after").await, 200, "not protected");
        assert_eq!(status(&app, "/mine").await, 500, "a handler with a principal is not called");
    }

    #[tokio::test]
    async fn a_fallback_is_protected_only_by_a_later_layer() {
        let goat = TestGoat::new().goat;
        let routes = || Router::new().route("/reports", get(async || ()));
        let app = routes().layer(goat.authenticate()).fallback(async || "a page");
        assert_eq!(status(&app, "/elsewhere").await, 200);
        let app = routes().fallback(async || "a page").layer(goat.authenticate());
        assert_eq!(status(&app, "/elsewhere").await, 401);
        let app = routes().route_layer(goat.authenticate());
        assert_eq!(status(&app, "/elsewhere").await, 404);
        let app = routes().layer(goat.authenticate());
        assert_eq!(status(&app, "/elsewhere").await, 401);
    }

    #[tokio::test]
    async fn merged_routers_keep_their_layers() {
        let goat = TestGoat::new().goat;
        let guarded = Router::new().route("/mine", get(mine)).layer(goat.authenticate());
        let open = Router::new().route("/about", get(async || ()));
        let app = open.merge(guarded);
        assert_eq!(status(&app, "/about").await, 200);
        assert_eq!(status(&app, "/mine").await, 401);
        // The inner of two layers decides last; the outer, stricter one still applies.
        let app = app.layer(goat.authenticate().optional());
        assert_eq!(status(&app, "/about").await, 200);
        assert_eq!(status(&app, "/mine").await, 401);
    }
}
