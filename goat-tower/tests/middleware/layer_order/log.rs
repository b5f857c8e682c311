//! Log messages for missing and misplaced layers: the fix, the position and the route, without
//! client data.

use axum::Router;
use axum::body::Body;
use axum::routing::{delete, get};
use goat_core::testing::TestGoat;
use goat_core::{Quota, UserId};
use goat_tower::address::ClientAddress;
use goat_tower::testing::{RequestBuilderExt, assert_denied};
use goat_tower::{Denial, FreshPrincipal, GoatExt, Origin, PathTemplate, Principal};
use http::{Request, Response};
use tower::{Layer, ServiceExt};
use tracing::Level;

use crate::support::log::Log;
use crate::support::{REPORTS, request, send, whoami};

async fn me(_: Principal) {}
async fn optional(_: Option<Principal>) {}
async fn fresh(_: FreshPrincipal) {}
async fn fresh_twice(_: FreshPrincipal, _: FreshPrincipal) {}
async fn address(_: ClientAddress) {}
async fn nothing(_: Origin, _: Option<ClientAddress>) {}

/// A value from the request that must not be logged.
const CANARY: &str = "canary";

/// Sends a request with a token, a query, an id in its path, and a header.
async fn fetch(
    app: &Router,
    test: &TestGoat,
    (method, path): (&str, &str),
) -> (Response<Body>, String) {
    let alice = test.sign_in("alice", [REPORTS]).await;
    let uri = format!("{path}?token={CANARY}");
    let request = Request::builder().method(method).uri(uri).header("user-agent", CANARY);
    let request = request.signed_in(&alice).body(Body::empty()).unwrap();
    (app.clone().oneshot(request).await.unwrap(), alice.access_token().to_owned())
}

/// Returns the errors logged since the last call. (axum creates layers lazily; limits then log
/// their configuration.)
fn errors(log: &Log) -> Vec<String> {
    let lines = log.take().into_iter().filter(|(level, _)| *level == Level::ERROR);
    lines.map(|(_, line)| line).collect()
}

/// L1, L2
#[tokio::test]
async fn a_missing_layer_is_logged_once_with_the_fix_and_the_route() {
    let test = TestGoat::new();
    let goat = &test.goat;
    let quota = Quota::per_minute(60);
    let bare = Router::new()
        .route("/me", get(me))
        .route("/optional", get(optional))
        .route("/users/{id}", delete(fresh))
        .route("/twice", get(fresh_twice).route_layer(goat.require(REPORTS).fresh()))
        .route("/stale", get(fresh).route_layer(goat.require(REPORTS)))
        .route("/address", get(address))
        .route("/by-address", get(nothing).route_layer(goat.limit(quota).by_address()))
        .route("/by-user", get(nothing).route_layer(goat.limit(quota).by_user()));
    let outside = Router::new()
        .route("/outside", get(me))
        .layer(goat.authenticate())
        .layer(goat.limit(quota).by_user());
    // A route added to an axum router after a layer is outside that layer.
    let after = Router::new().layer(goat.authenticate()).route("/after", get(me));
    let log = Log::read();

    let user = UserId::generate(test.goat.time().now()).to_string();
    let user_path = format!("/users/{user}");
    let cases = [
        (&bare, ("GET", "/me"), "/me", ".layer(goat.authenticate()) to the router, after its"),
        (&bare, ("GET", "/optional"), "/optional", ".layer(goat.authenticate().optional()) to the"),
        (&bare, ("DELETE", user_path.as_str()), "/users/{id}", "(goat.require(..).fresh())"),
        (&bare, ("GET", "/stale"), "/stale", ".route_layer(goat.require(..).fresh()) to the route"),
        (&bare, ("GET", "/twice"), "/twice", "was taken twice"),
        (&bare, ("GET", "/address"), "/address", ".into_make_service_with_connect_info::<"),
        (&bare, ("GET", "/by-address"), "/by-address", "PeerAddress"),
        (&bare, ("GET", "/by-user"), "/by-user", "inside of goat.authenticate()"),
        (&outside, ("GET", "/outside"), "/outside", "inside of goat.authenticate()"),
        (&after, ("GET", "/after"), "/after", "after its routes"),
    ];
    for (app, route, template, advice) in cases {
        let (response, token) = fetch(app, &test, route).await;
        assert_eq!(response.status(), 500, "{template}");
        let denial = response.extensions().get::<Denial>().unwrap();
        assert!(denial.error().unwrap().to_string().contains(advice), "{denial:?}");
        let [line] = errors(&log).try_into().unwrap();
        assert!(line.contains(advice), "{line}");
        let place = format!(" method={} path={template:?}", route.0);
        assert!(line.ends_with(&place), "{line}");
        for secret in [&token, CANARY, &user] {
            assert!(!line.contains(secret), "{line}");
        }
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}

/// L1: without a known template, only the plain words of a path are logged.
#[tokio::test]
async fn without_a_template_only_plain_words_of_the_path_are_logged() {
    let test = TestGoat::new();
    let service = test.goat.limit(Quota::per_minute(60)).by_user().layer(whoami());
    let log = Log::read();
    let mut request = request(None);
    *request.uri_mut() = "/invitations/4f1d9a/accept?token=canary".parse().unwrap();
    assert_denied(&send(&service, request).await.head, "internal");
    let [line] = errors(&log).try_into().unwrap();
    assert!(line.ends_with(r#" method=GET path="/invitations/*/accept""#), "{line}");
}

/// With a template set by an application's own router.
#[tokio::test]
async fn the_path_template_of_a_custom_router_is_logged() {
    let test = TestGoat::new();
    let service = test.goat.limit(Quota::per_minute(60)).by_user().layer(whoami());
    let log = Log::read();
    let mut request = request(None);
    request.extensions_mut().insert(PathTemplate::new("/reports/{name}"));
    assert_denied(&send(&service, request).await.head, "internal");
    let [line] = errors(&log).try_into().unwrap();
    assert!(line.ends_with(r#" method=GET path="/reports/{name}""#), "{line}");
}

#[tokio::test]
async fn correct_layers_log_no_error() {
    let test = TestGoat::new();
    let app = Router::new()
        .route("/me", get(me))
        .route("/optional", get(optional))
        .route("/twice", get(fresh).route_layer(test.goat.require(REPORTS).fresh()))
        .route("/nothing", get(nothing))
        .layer(test.goat.authenticate().optional());
    let log = Log::read();
    for path in ["/me", "/optional", "/twice", "/nothing"] {
        let (response, _) = fetch(&app, &test, ("GET", path)).await;
        assert_eq!(response.status(), 200, "{path}");
        let anonymous = Request::get(path).body(Body::empty()).unwrap();
        let response = app.clone().oneshot(anonymous).await.unwrap();
        let expected = if matches!(path, "/me" | "/twice") { 401 } else { 200 };
        assert_eq!(response.status(), expected, "{path}");
    }
    assert_eq!(errors(&log), Vec::<String>::new());
}
