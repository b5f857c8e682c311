//! The offline layers and their extractor in a router of axum.

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

async fn whose(who: TokenPrincipal) -> String {
    who.user().to_string()
}

async fn perhaps(who: Option<TokenPrincipal>) -> String {
    who.map_or_else(|| "stranger".to_owned(), |who| who.user().to_string())
}

async fn live(me: Principal) -> String {
    me.user().to_string()
}

async fn perhaps_live(me: Option<Principal>) -> String {
    me.map_or_else(|| "stranger".to_owned(), |me| me.user().to_string())
}

fn app(pair: &Pair) -> Router {
    Router::new()
        .route("/whose", get(whose))
        .route("/perhaps", get(perhaps))
        .route("/live", get(live))
        .route("/perhaps-live", get(perhaps_live))
        .route("/reports", get(whose).route_layer(pair.verifier.require(REPORTS)))
}

async fn ask(app: &Router, path: &str, user: Option<&TestUser>) -> (u16, String) {
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
async fn handlers_take_what_the_layers_found() {
    let pair = Pair::new();
    let alice = pair.issuer.sign_in("alice", [REPORTS]).await;
    let bob = pair.issuer.sign_in("bob", []).await;
    let app = app(&pair).layer(pair.verifier.authenticate());
    for path in ["/whose", "/perhaps", "/reports"] {
        let expected = (200, alice.user.id.to_string());
        assert_eq!(ask(&app, path, Some(&alice)).await, expected, "{path}");
        assert_eq!(ask(&app, path, None).await.0, 401, "{path}");
    }
    assert_eq!(ask(&app, "/reports", Some(&bob)).await.0, 403);
}

#[tokio::test]
async fn a_stranger_is_nobody_where_that_may_be_and_401_where_it_may_not() {
    let pair = Pair::new();
    let app = app(&pair).layer(pair.verifier.authenticate().optional());
    assert_eq!(ask(&app, "/perhaps", None).await, (200, "stranger".to_owned()));
    for path in ["/whose", "/reports"] {
        let (status, body) = ask(&app, path, None).await;
        assert_eq!(status, 401, "{path}");
        assert!(body.contains(&format!(r#""instance":"{path}""#)), "{body}");
    }
}

/// Neither principal is had where the other kind of layer has looked, or none.
#[tokio::test]
async fn a_missing_or_another_layer_is_a_500_that_tells_the_client_nothing() {
    let pair = Pair::new();
    let root = pair.issuer.sign_in("root", [Permission::FULL_ACCESS]).await;
    let verifier = pair.verifier.authenticate();
    let goat = pair.issuer.goat.authenticate();
    for (app, paths) in [
        (app(&pair), &["/whose", "/perhaps", "/live", "/perhaps-live"][..]),
        (app(&pair).layer(verifier.clone()), &["/live", "/perhaps-live"]),
        (app(&pair).layer(verifier.optional()), &["/live", "/perhaps-live"]),
        (app(&pair).layer(goat.clone()), &["/whose", "/perhaps", "/reports"]),
        (app(&pair).layer(goat.optional()), &["/whose", "/perhaps", "/reports"]),
    ] {
        for path in paths {
            let (status, body) = ask(&app, path, Some(&root)).await;
            assert_eq!(status, 500, "{path}");
            assert!(body.contains(r#""code":"internal""#) && !body.contains("layer"), "{body}");
        }
    }
    // Nor is somebody whom nobody has looked at taken for a stranger.
    let offline = app(&pair).layer(pair.verifier.authenticate().optional());
    assert_eq!(ask(&offline, "/perhaps-live", None).await.0, 500);
    let live = app(&pair).layer(pair.issuer.goat.authenticate().optional());
    assert_eq!(ask(&live, "/perhaps", None).await.0, 500);
}

/// Whoever took the one principal for the other is told of the other.
#[tokio::test]
async fn the_log_names_the_principal_that_the_layer_leaves() {
    let pair = Pair::new();
    let root = pair.issuer.sign_in("root", [Permission::FULL_ACCESS]).await;
    let offline = app(&pair).layer(pair.verifier.authenticate());
    let live = app(&pair).layer(pair.issuer.goat.authenticate());
    for (app, path, advice) in [
        (&offline, "/live", "behind a verifier, take a TokenPrincipal"),
        (&offline, "/perhaps-live", "behind a verifier, take an Option<TokenPrincipal>"),
        (&live, "/whose", "behind a goat, take a Principal"),
        (&live, "/perhaps", "behind a goat, take an Option<Principal>"),
    ] {
        let request = Request::get(path).header("authorization", root.bearer());
        let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let denial = response.extensions().get::<Denial>().expect("a denial");
        let told = denial.error().expect("an error of goat").to_string();
        assert!(told.ends_with(advice), "{path}: {told}");
    }
}
