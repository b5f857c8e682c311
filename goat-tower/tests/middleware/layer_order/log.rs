//! What the log says where a layer is missing or stands in the wrong place: what to add and where, on
//! which request, and nothing that a client wrote.

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
async fn perhaps(_: Option<Principal>) {}
async fn act(_: FreshPrincipal) {}
async fn act_twice(_: FreshPrincipal, _: FreshPrincipal) {}
async fn address(_: ClientAddress) {}
async fn nothing(_: Origin, _: Option<ClientAddress>) {}

/// What no log may hold: it came with the request.
const CANARY: &str = "canary";

/// One request with a token, a query, an id in its path, and a header.
async fn ask(
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

/// What was logged as an error since this was last asked. (axum makes layers when it first needs them, and
/// limits then say what they count.)
fn errors(log: &Log) -> Vec<String> {
    let lines = log.take().into_iter().filter(|(level, _)| *level == Level::ERROR);
    lines.map(|(_, line)| line).collect()
}

/// L1, L2
#[tokio::test]
async fn a_missing_layer_is_one_line_that_says_what_to_add_where_and_on_which_request() {
    let test = TestGoat::new();
    let goat = &test.goat;
    let quota = Quota::per_minute(60);
    let bare = Router::new()
        .route("/me", get(me))
        .route("/perhaps", get(perhaps))
        .route("/users/{id}", delete(act))
        .route("/twice", get(act_twice).route_layer(goat.require(REPORTS).fresh()))
        .route("/stale", get(act).route_layer(goat.require(REPORTS)))
        .route("/address", get(address))
        .route("/by-address", get(nothing).route_layer(goat.limit(quota).by_address()))
        .route("/by-user", get(nothing).route_layer(goat.limit(quota).by_user()));
    let outside = Router::new()
        .route("/outside", get(me))
        .layer(goat.authenticate())
        .layer(goat.limit(quota).by_user());
    // What is added to a router of axum after a layer stands outside of it.
    let after = Router::new().layer(goat.authenticate()).route("/after", get(me));
    let log = Log::read();

    let user = UserId::generate(test.goat.time().now()).to_string();
    let of_somebody = format!("/users/{user}");
    let cases = [
        (&bare, ("GET", "/me"), "/me", ".layer(goat.authenticate()) to the router, after its"),
        (&bare, ("GET", "/perhaps"), "/perhaps", ".layer(goat.authenticate().optional()) to the"),
        (&bare, ("DELETE", of_somebody.as_str()), "/users/{id}", "(goat.require(..).fresh())"),
        (&bare, ("GET", "/stale"), "/stale", ".route_layer(goat.require(..).fresh()) to the route"),
        (&bare, ("GET", "/twice"), "/twice", "was taken twice"),
        (&bare, ("GET", "/address"), "/address", ".into_make_service_with_connect_info::<"),
        (&bare, ("GET", "/by-address"), "/by-address", "PeerAddress"),
        (&bare, ("GET", "/by-user"), "/by-user", "inside of goat.authenticate()"),
        (&outside, ("GET", "/outside"), "/outside", "inside of goat.authenticate()"),
        (&after, ("GET", "/after"), "/after", "after its routes"),
    ];
    for (app, route, template, advice) in cases {
        let (response, token) = ask(app, &test, route).await;
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

/// Of a path whose template nobody knows, its plain words. L1
#[tokio::test]
async fn without_a_router_the_log_shows_of_a_path_what_cannot_be_a_secret() {
    let test = TestGoat::new();
    let service = test.goat.limit(Quota::per_minute(60)).by_user().layer(whoami());
    let log = Log::read();
    let mut request = request(None);
    *request.uri_mut() = "/invitations/4f1d9a/accept?token=canary".parse().unwrap();
    assert_denied(&send(&service, request).await.response, "internal");
    let [line] = errors(&log).try_into().unwrap();
    assert!(line.ends_with(r#" method=GET path="/invitations/*/accept""#), "{line}");
}

/// By the one that counts its limits too.
#[tokio::test]
async fn of_a_router_of_ones_own_the_log_shows_the_template_that_it_has_left() {
    let test = TestGoat::new();
    let service = test.goat.limit(Quota::per_minute(60)).by_user().layer(whoami());
    let log = Log::read();
    let mut request = request(None);
    request.extensions_mut().insert(PathTemplate::new("/reports/{name}"));
    assert_denied(&send(&service, request).await.response, "internal");
    let [line] = errors(&log).try_into().unwrap();
    assert!(line.ends_with(r#" method=GET path="/reports/{name}""#), "{line}");
}

#[tokio::test]
async fn what_is_no_defect_of_the_wiring_is_no_error_in_the_log() {
    let test = TestGoat::new();
    let app = Router::new()
        .route("/me", get(me))
        .route("/perhaps", get(perhaps))
        .route("/twice", get(act).route_layer(test.goat.require(REPORTS).fresh()))
        .route("/nothing", get(nothing))
        .layer(test.goat.authenticate().optional());
    let log = Log::read();
    for path in ["/me", "/perhaps", "/twice", "/nothing"] {
        let (response, _) = ask(&app, &test, ("GET", path)).await;
        assert_eq!(response.status(), 200, "{path}");
        let stranger = Request::get(path).body(Body::empty()).unwrap();
        let response = app.clone().oneshot(stranger).await.unwrap();
        let expected = if matches!(path, "/me" | "/twice") { 401 } else { 200 };
        assert_eq!(response.status(), expected, "{path}");
    }
    assert_eq!(errors(&log), Vec::<String>::new());
}
