//! The offline layers and their extractor on an axum router.

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use goat_core::Permission;
use goat_core::testing::TestUser;
use goat_tower::offline::{TokenPrincipal, VerifierExt};
use goat_tower::{Denial, GoatExt, Principal};
use http::Request;
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::offline::Pair;
use crate::support::REPORTS;

async fn required(who: TokenPrincipal) -> String {
    who.user().to_string()
}

async fn optional(who: Option<TokenPrincipal>) -> String {
    who.map_or_else(|| "anonymous".to_owned(), |who| who.user().to_string())
}

async fn live(me: Principal) -> String {
    me.user().to_string()
}

async fn optional_live(me: Option<Principal>) -> String {
    me.map_or_else(|| "anonymous".to_owned(), |me| me.user().to_string())
}

fn app(pair: &Pair) -> Router {
    Router::new()
        .route("/required", get(required))
        .route("/optional", get(optional))
        .route("/live", get(live))
        .route("/optional-live", get(optional_live))
        .route("/reports", get(required).route_layer(pair.verifier.require(REPORTS)))
}

async fn fetch(app: &Router, path: &str, user: Option<&TestUser>) -> (u16, String) {
    let mut request = Request::builder().uri(path);
    if let Some(user) = user {
        request = request.header("authorization", user.bearer());
    }
    let request = request.body(Body::empty()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn extractors_return_the_results_of_the_layers() {
    let pair = Pair::new();
    let alice = pair.issuer.sign_in("alice", [REPORTS]).await;
    let bob = pair.issuer.sign_in("bob", []).await;
    let app = app(&pair).layer(pair.verifier.authenticate());
    for path in ["/required", "/optional", "/reports"] {
        let expected = (200, alice.user.id.to_string());
        assert_eq!(fetch(&app, path, Some(&alice)).await, expected, "{path}");
        assert_eq!(fetch(&app, path, None).await.0, 401, "{path}");
    }
    assert_eq!(fetch(&app, "/reports", Some(&bob)).await.0, 403);
}

#[tokio::test]
async fn an_anonymous_request_is_none_if_optional_and_401_otherwise() {
    let pair = Pair::new();
    let app = app(&pair).layer(pair.verifier.authenticate().optional());
    assert_eq!(fetch(&app, "/optional", None).await, (200, "anonymous".to_owned()));
    for path in ["/required", "/reports"] {
        let (status, body) = fetch(&app, path, None).await;
        assert_eq!(status, 401, "{path}");
        assert!(body.contains(&format!(r#""instance":"{path}""#)), "{body}");
    }
}

/// Each extractor needs the layer of its kind.
#[tokio::test]
async fn a_missing_or_wrong_layer_is_a_500_without_details() {
    let pair = Pair::new();
    let root = pair.issuer.sign_in("root", [Permission::FULL_ACCESS]).await;
    let verifier = pair.verifier.authenticate();
    let goat = pair.issuer.goat.authenticate();
    for (app, paths) in [
        (app(&pair), &["/required", "/optional", "/live", "/optional-live"][..]),
        (app(&pair).layer(verifier.clone()), &["/live", "/optional-live"]),
        (app(&pair).layer(verifier.optional()), &["/live", "/optional-live"]),
        (app(&pair).layer(goat.clone()), &["/required", "/optional", "/reports"]),
        (app(&pair).layer(goat.optional()), &["/required", "/optional", "/reports"]),
    ] {
        for path in paths {
            let (status, body) = fetch(&app, path, Some(&root)).await;
            assert_eq!(status, 500, "{path}");
            assert!(body.contains(r#""code":"internal""#) && !body.contains("layer"), "{body}");
        }
    }
    // A request that no layer authenticated is not treated as anonymous.
    let offline = app(&pair).layer(pair.verifier.authenticate().optional());
    assert_eq!(fetch(&offline, "/optional-live", None).await.0, 500);
    let live = app(&pair).layer(pair.issuer.goat.authenticate().optional());
    assert_eq!(fetch(&live, "/optional", None).await.0, 500);
}

/// The log names the extractor that fits the layer.
#[tokio::test]
async fn the_log_names_the_extractor_for_the_layer() {
    let pair = Pair::new();
    let root = pair.issuer.sign_in("root", [Permission::FULL_ACCESS]).await;
    let offline = app(&pair).layer(pair.verifier.authenticate());
    let live = app(&pair).layer(pair.issuer.goat.authenticate());
    for (app, path, advice) in [
        (&offline, "/live", "behind a verifier, take a TokenPrincipal"),
        (&offline, "/optional-live", "behind a verifier, take an Option<TokenPrincipal>"),
        (&live, "/required", "behind a goat, take a Principal"),
        (&live, "/optional", "behind a goat, take an Option<Principal>"),
    ] {
        let request = Request::get(path).header("authorization", root.bearer());
        let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let denial = response.extensions().get::<Denial>().expect("a denial");
        let reason = denial.error().expect("an error of goat").to_string();
        assert!(reason.ends_with(advice), "{path}: {reason}");
    }
}
