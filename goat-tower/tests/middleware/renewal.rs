//! Renewal of a session within a request, by the refresh cookie.

use std::sync::Arc;
use std::time::Duration;

use goat_core::session::Origin;
use goat_core::testing::{Failpoints, Point, TestGoat, TestUser};
use goat_core::token::{TokenSettings, Verifier};
use goat_core::{PageRequest, Quota, Settings, Stores};
use goat_tower::cookie::{Cookies, SameSite};
use goat_tower::offline::VerifierExt as _;
use goat_tower::{GoatExt as _, Principal};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::Full;
use tower::{Layer, service_fn};

use crate::support::stores::{StoreState, switched};
use crate::support::{Sent, TestResponse, request, send, whoami};

const COOKIES: Cookies = Cookies::new().renew();
const ACCESS: &str = "__Host-goat-access";
const REFRESH: &str = "__Host-goat-refresh";

/// A followed link on a page of another site, with the given cookies.
fn link(cookies: &str) -> Request<Sent> {
    sent(Method::GET, Some("cross-site"), Some("navigate"), cookies)
}

fn sent(method: Method, site: Option<&str>, mode: Option<&str>, cookies: &str) -> Request<Sent> {
    let mut request = request(None);
    *request.method_mut() = method;
    for (name, value) in
        [("cookie", Some(cookies)), ("sec-fetch-site", site), ("sec-fetch-mode", mode)]
    {
        if let Some(value) = value {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
    }
    request
}

fn refresh_cookie(user: &TestUser) -> String {
    format!("{REFRESH}={}", user.tokens.refresh_token.expose())
}

fn both_cookies(user: &TestUser) -> String {
    format!("{ACCESS}={}; {}", user.access_token(), refresh_cookie(user))
}

fn set_cookies(headers: &HeaderMap) -> Vec<&str> {
    headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect()
}

/// The names of the cookies that a response sets to a value, and of those that it clears.
fn effect(response: &TestResponse) -> (Vec<&str>, Vec<&str>) {
    let set = set_cookies(response.head.headers()).into_iter();
    let (cleared, set): (Vec<_>, Vec<_>) = set.partition(|cookie| cookie.contains("Max-Age=0;"));
    let [set, cleared] = [set, cleared].map(|cookies| {
        cookies.into_iter().map(|cookie| cookie.split('=').next().unwrap()).collect()
    });
    (set, cleared)
}

/// An hour later, all access tokens have expired.
async fn an_hour_later() -> (TestGoat, TestUser) {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", []).await;
    test.clock.advance(Duration::from_secs(3600));
    (test, alice)
}

#[tokio::test]
async fn a_navigation_with_a_missing_or_expired_access_cookie_is_served() {
    for cookies in [refresh_cookie, both_cookies] {
        let (test, alice) = an_hour_later().await;
        let service = test.goat.authenticate().cookies(COOKIES).layer(whoami());
        let response = send(&service, link(&cookies(&alice))).await;
        assert_eq!(response.outcome(), (200, ""));
        assert_eq!(response.header("x-user"), alice.user.id.to_string());
        assert_eq!(response.header("cache-control"), "no-store");
        let set = set_cookies(response.head.headers());
        assert_eq!(set.len(), 2);
        assert!(set.iter().all(|cookie| cookie.ends_with("; SameSite=Lax")), "{set:?}");

        // The new cookies need no further renewal.
        let pairs: Vec<_> = set.iter().map(|cookie| cookie.split(';').next().unwrap()).collect();
        let response = send(&service, link(&pairs.join("; "))).await;
        assert_eq!(response.header("x-user"), alice.user.id.to_string());
        assert_eq!(effect(&response), (vec![], vec![]));
    }
    let strict = COOKIES.same_site(SameSite::Strict);
    let (test, alice) = an_hour_later().await;
    let service = test.goat.authenticate().cookies(strict).layer(whoami());
    let response = send(&service, link(&refresh_cookie(&alice))).await;
    let set = set_cookies(response.head.headers());
    assert!(set.iter().all(|cookie| cookie.ends_with("; SameSite=Strict")), "{set:?}");
}

/// CSRF: only a navigation with a safe method is renewed for another site.
#[tokio::test]
async fn only_navigations_and_requests_of_an_accepted_origin_are_renewed() {
    let (get, post, head) = (Method::GET, Method::POST, Method::HEAD);
    for (outcome, method, site, mode) in [
        ((200, ""), &get, Some("cross-site"), Some("navigate")),
        ((200, ""), &head, Some("same-site"), Some("navigate")),
        ((200, ""), &get, Some("none"), Some("navigate")),
        ((200, ""), &get, None, Some("navigate")),
        ((200, ""), &get, Some("same-origin"), Some("cors")),
        ((200, ""), &get, Some("same-origin"), None),
        ((200, ""), &post, Some("same-origin"), Some("cors")),
        ((401, "unauthenticated"), &get, Some("cross-site"), Some("no-cors")),
        ((401, "unauthenticated"), &get, Some("same-site"), Some("cors")),
        ((401, "unauthenticated"), &get, None, None),
        ((401, "unauthenticated"), &get, Some("cross-site"), Some("Navigate")),
        ((403, "cross-site-request"), &post, Some("cross-site"), Some("navigate")),
        ((403, "cross-site-request"), &post, Some("same-site"), Some("cors")),
        ((403, "cross-site-request"), &post, None, None),
    ] {
        let (test, alice) = an_hour_later().await;
        let layer = test.goat.authenticate().cookies(COOKIES);
        let sent = || sent(method.clone(), site, mode, &refresh_cookie(&alice));
        let response = send(&layer.clone().layer(whoami()), sent()).await;
        assert_eq!(response.outcome(), outcome, "{method} {site:?} {mode:?}");
        let renewed = if outcome.0 == 200 { vec![ACCESS, REFRESH] } else { vec![] };
        assert_eq!(effect(&response), (renewed, vec![]), "{method} {site:?} {mode:?}");
        // Where authentication is optional, the request is anonymous in place of the 401.
        let response = send(&layer.optional().layer(whoami()), sent()).await;
        let optional = if outcome.0 == 401 { (200, "") } else { outcome };
        assert_eq!(response.outcome(), optional, "{method} {site:?} {mode:?}");
        assert_eq!(response.header("cache-control"), "no-store");
    }
    // A WebSocket is opened by a safe method, and from any site.
    let (test, alice) = an_hour_later().await;
    let service = test.goat.authenticate().cookies(COOKIES).layer(whoami());
    let mut socket = link(&refresh_cookie(&alice));
    socket.headers_mut().insert("upgrade", "websocket".parse().unwrap());
    assert_eq!(send(&service, socket).await.outcome(), (403, "cross-site-request"));
}

#[tokio::test]
async fn nothing_is_renewed_unless_enabled_and_never_for_a_bearer_token() {
    let (test, alice) = an_hour_later().await;
    let plain = test.goat.authenticate().cookies(Cookies::new()).layer(whoami());
    let response = send(&plain, link(&both_cookies(&alice))).await;
    assert_eq!((response.outcome(), effect(&response).0.len()), ((401, "token-expired"), 0));
    let response = send(&plain, link(&refresh_cookie(&alice))).await;
    assert_eq!((response.outcome(), effect(&response).0.len()), ((401, "unauthenticated"), 0));

    let service = test.goat.authenticate().cookies(COOKIES).layer(whoami());
    let mut bearer = link(&refresh_cookie(&alice));
    bearer.headers_mut().insert("authorization", alice.bearer().parse().unwrap());
    let response = send(&service, bearer).await;
    assert_eq!((response.outcome(), effect(&response).0.len()), ((401, "token-expired"), 0));

    // A verifier has no sessions.
    let bob = test.sign_in("bob", []).await;
    let (jwks, clock) = (test.goat.jwks().to_string(), Arc::new(test.clock.clone()));
    let verifier = Verifier::with_clock(jwks, TokenSettings::default(), clock).unwrap();
    let offline = verifier.authenticate().cookies(COOKIES).layer(whoami());
    let response = send(&offline, link(&refresh_cookie(&bob))).await;
    assert_eq!((response.outcome(), effect(&response).0.len()), ((401, "unauthenticated"), 0));
}

/// B23
#[tokio::test]
async fn a_failed_renewal_is_a_401_that_clears_both_cookies_and_a_503_clears_none() {
    let (stores, failpoints) = Failpoints::over(Stores::memory());
    let test = TestGoat::build(stores, |builder| builder);
    let alice = test.sign_in("alice", []).await;
    let bob = test.sign_in("bob", []).await;
    let principal = test.goat.authenticate_token(bob.access_token()).await.unwrap();
    test.goat.logout(&principal, &Origin::default()).await.unwrap();
    test.clock.advance(Duration::from_secs(3600));
    let layer = test.goat.authenticate().cookies(COOKIES);
    for layer in [layer.clone(), layer.clone().optional()] {
        let service = layer.layer(whoami());
        for (cookies, code) in [
            (refresh_cookie(&bob), "session-revoked"),
            (both_cookies(&bob), "session-revoked"),
            (format!("{REFRESH}=nonsense"), "invalid-token"),
            (format!("{REFRESH}=\"quoted\""), "invalid-token"),
            (format!("{REFRESH}={}", "x".repeat(9000)), "invalid-token"),
            (format!("{REFRESH}={}", alice.access_token()), "invalid-token"),
        ] {
            let response = send(&service, link(&cookies)).await;
            assert_eq!(response.outcome(), (401, code), "{cookies:.60}");
            assert_eq!(effect(&response), (vec![], vec![ACCESS, REFRESH]), "{cookies:.60}");
            assert_eq!(response.header("cache-control"), "no-store");
        }
        let twice = format!("{0}; {0}", refresh_cookie(&alice));
        let response = send(&service, link(&twice)).await;
        assert_eq!(
            (response.outcome(), effect(&response)),
            ((400, "bad-request"), (vec![], vec![]))
        );

        // O1
        failpoints.fail("sessions.find", Point::Entry);
        let response = send(&service, link(&refresh_cookie(&alice))).await;
        assert_eq!(
            (response.outcome(), effect(&response)),
            ((503, "unavailable"), (vec![], vec![]))
        );
    }
    let response = send(&layer.layer(whoami()), link(&refresh_cookie(&alice))).await;
    assert_eq!(response.outcome(), (200, ""), "a 503 does not cost the session");
}

/// The cookies of a logout in the same request are newer than those of the renewal.
#[tokio::test]
async fn the_cookies_of_the_handler_take_precedence() {
    let (test, alice) = an_hour_later().await;
    let goat = test.goat.clone();
    let logout = service_fn(move |request: Request<Sent>| {
        let goat = goat.clone();
        async move {
            let me = Principal::of(request.extensions()).unwrap();
            goat.logout(&me, &Origin::default()).await.unwrap();
            let mut response = Response::new(Full::<bytes::Bytes>::default());
            COOKIES.clear(response.headers_mut());
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let service = test.goat.authenticate().cookies(COOKIES).layer(logout);
    let sent = sent(Method::POST, Some("same-origin"), None, &refresh_cookie(&alice));
    let response = send(&service, sent).await;
    assert_eq!(response.outcome(), (200, ""));
    assert_eq!(effect(&response), (vec![], vec![ACCESS, REFRESH]));
}

/// B23
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_parallel_navigations_with_an_expired_access_cookie_end_in_one_live_session() {
    let (test, alice) = an_hour_later().await;
    let service = test.goat.authenticate().cookies(COOKIES).layer(whoami());
    let barrier = Arc::new(tokio::sync::Barrier::new(50));
    let navigations: Vec<_> = (0..50)
        .map(|_| {
            let (service, sent) = (service.clone(), link(&both_cookies(&alice)));
            let barrier = barrier.clone();
            tokio::spawn(async move {
                barrier.wait().await;
                send(&service, sent).await
            })
        })
        .collect();
    let mut tokens = Vec::new();
    for navigation in navigations {
        let response = navigation.await.unwrap();
        assert_eq!(response.header("x-user"), alice.user.id.to_string());
        let set = set_cookies(response.head.headers());
        let pair = set.iter().find_map(|cookie| cookie.strip_prefix("__Host-goat-refresh="));
        tokens.push(pair.unwrap().split(';').next().unwrap().to_owned());
    }
    tokens.dedup();
    assert_eq!(tokens.len(), 1, "all responses have the same refresh token");
    let renewed = test.goat.renew(&tokens.remove(0).into(), &Origin::default()).await.unwrap();
    let sessions = test.goat.sessions().list(&renewed.principal, PageRequest::default()).await;
    assert_eq!(sessions.unwrap().items.len(), 1);
}

/// The rotation is a write: a request that the first limit rejects must not cause it.
#[tokio::test]
async fn a_request_that_the_first_limit_rejects_renews_nothing() {
    let (stores, switch) = switched();
    let (stores, failpoints) = Failpoints::over(stores);
    let test = TestGoat::build(stores, |builder| {
        builder.settings(Settings { account_quota: None, ..Settings::default() })
    });
    let alice = test.sign_in("alice", []).await;
    test.clock.advance(Duration::from_secs(3600));
    let limit = test.goat.limit(Quota::per_minute(1)).by_address();
    let layer = test.goat.authenticate().cookies(COOKIES).limited(limit, None);
    let service = layer.layer(whoami());
    let response = send(&service, link(&refresh_cookie(&alice))).await;
    assert_eq!((response.outcome(), effect(&response).0.len()), ((200, ""), 2));
    drop(failpoints.take_calls());
    let response = send(&service, link(&refresh_cookie(&alice))).await;
    assert_eq!((response.outcome(), effect(&response).0.len()), ((429, "rate-limited"), 0));
    assert_eq!(failpoints.take_calls(), Vec::<&str>::new());
    switch.set(StoreState::Down);
    let response = send(&service, link(&refresh_cookie(&alice))).await;
    assert_eq!((response.outcome(), effect(&response).0.len()), ((503, "unavailable"), 0));
    assert_eq!(failpoints.take_calls(), Vec::<&str>::new());
}
