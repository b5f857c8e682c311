//! Cookie authentication and its CSRF check.

use std::time::Duration;

use goat_core::testing::{TestGoat, TestUser};
use goat_core::{ErrorKind, Permission, Quota, Settings, Stores};
use goat_tower::cookie::{CookieError, Cookies, SameSite};
use goat_tower::{Denial, GoatExt, Problem};
use http::{HeaderMap, Method, Request};
use tower::{Layer, ServiceBuilder};

use crate::support::stores::{StoreState, switched};
use crate::support::{REPORTS, Sent, TestResponse, in_grpc, request, send, whoami, with_header};

pub(crate) const COOKIES: Cookies = Cookies::new();
const ACCESS: &str = "__Host-goat-access";
const REFRESH: &str = "__Host-goat-refresh";

/// A state-changing request from a page of the same origin, with a user's cookie.
pub(crate) fn from_page(user: &TestUser) -> Request<Sent> {
    from_site("same-origin", user.access_token())
}

/// The same from a page of the given site.
pub(crate) fn from_site(site: &str, access_token: &str) -> Request<Sent> {
    let mut request = with_header("sec-fetch-site", site);
    *request.method_mut() = Method::POST;
    let cookie = format!("theme=dark; {ACCESS}={access_token}");
    request.headers_mut().insert("cookie", cookie.parse().unwrap());
    request
}

/// A request with a bearer token.
fn bearer(token: &str) -> Request<Sent> {
    let mut request = with_header("authorization", &format!("Bearer {token}"));
    *request.method_mut() = Method::POST;
    request
}

fn set_cookies(headers: &HeaderMap) -> Vec<&str> {
    headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect()
}

fn whole(response: &TestResponse) -> (u16, &HeaderMap, &str) {
    (response.status.as_u16(), response.head.headers(), &response.body)
}

/// H1
#[tokio::test]
async fn a_cookie_authenticates_like_the_header_and_the_response_is_not_cacheable() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", []).await;
    let service = test.goat.authenticate().cookies(COOKIES).layer(whoami());
    // First from the store, then from the cache.
    for _ in 0..2 {
        let response = send(&service, from_page(&alice)).await;
        assert_eq!(response.outcome(), (200, ""));
        assert_eq!(response.header("x-user"), alice.user.id.to_string());
        assert_eq!(response.header("cache-control"), "no-store");
        assert_eq!(response.header("set-cookie"), "", "layers set no cookies");
    }
    // Split as in HTTP/2.
    let mut split = from_page(&alice);
    split.headers_mut().insert("cookie", "theme=dark".parse().unwrap());
    let access = format!("{ACCESS}={}", alice.access_token());
    split.headers_mut().append("cookie", access.parse().unwrap());
    assert_eq!(send(&service, split).await.header("x-user"), alice.user.id.to_string());
    // A followed cross-site link is a safe request.
    let mut link = from_site("cross-site", alice.access_token());
    *link.method_mut() = Method::GET;
    assert_eq!(send(&service, link).await.outcome(), (200, ""));
}

/// J8
#[tokio::test]
async fn cookies_are_ignored_unless_enabled() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", [REPORTS]).await;
    let authenticate = test.goat.authenticate();
    let response = send(&authenticate.layer(whoami()), from_page(&alice)).await;
    assert_eq!(response.outcome(), (401, "unauthenticated"));
    assert_eq!(response.header("www-authenticate"), r#"Bearer realm="goat""#);

    let optional = authenticate.clone().optional().layer(whoami());
    let response = send(&optional, from_page(&alice)).await;
    assert_eq!((response.outcome(), response.header("x-user")), ((200, ""), ""));
    assert_eq!(response.header("cache-control"), "");

    // A requirement alone reads bearer tokens only; inside `authenticate` it reads no credentials.
    let alone = test.goat.require(REPORTS).layer(whoami());
    let response = send(&alone, from_page(&alice)).await;
    assert_eq!(response.outcome(), (401, "unauthenticated"));
    let cookies = authenticate.cookies(COOKIES);
    let under = cookies.layer(test.goat.require(REPORTS).layer(whoami()));
    let response = send(&under, from_page(&alice)).await;
    assert_eq!(response.header("x-user"), alice.user.id.to_string());
    let fresh = cookies.layer(test.goat.require(REPORTS).fresh().layer(whoami()));
    assert_eq!(send(&fresh, from_page(&alice)).await.outcome(), (200, ""));

    // Neither a cookie of another name nor a token elsewhere is read.
    let named = cookies.clone().cookies(COOKIES.names("__Host-a", "__Host-b")).layer(whoami());
    assert_eq!(send(&named, from_page(&alice)).await.outcome(), (401, "unauthenticated"));
    let mut query = from_page(&alice);
    query.headers_mut().remove("cookie");
    *query.uri_mut() = format!("/?{ACCESS}={}", alice.access_token()).parse().unwrap();
    let response = send(&cookies.layer(whoami()), query).await;
    assert_eq!(response.outcome(), (401, "unauthenticated"));
}

#[tokio::test]
async fn the_header_takes_precedence_over_the_cookie() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", []).await;
    let bob = test.sign_in("bob", []).await;
    let service = test.goat.authenticate().cookies(COOKIES).layer(whoami());
    let both = |site, header: &str| {
        let mut request = from_site(site, alice.access_token());
        request.headers_mut().insert("authorization", header.parse().unwrap());
        request
    };
    // Browsers never add a bearer token by themselves, so no origin check is needed.
    let response = send(&service, both("cross-site", &bob.bearer())).await;
    assert_eq!(response.header("x-user"), bob.user.id.to_string());
    let response = send(&service, both("same-origin", "Bearer nonsense")).await;
    assert_eq!(response.outcome(), (401, "invalid-token"));
    let response = send(&service, both("same-origin", "Bearer")).await;
    assert_eq!(response.outcome(), (401, "invalid-token"));
    // Browsers do add `Basic` credentials, for example for a proxy.
    let response = send(&service, both("same-origin", "Basic YTpi")).await;
    assert_eq!(response.header("x-user"), alice.user.id.to_string());
    let response = send(&service, both("cross-site", "Basic YTpi")).await;
    assert_eq!(response.outcome(), (403, "cross-site-request"));
}

#[tokio::test]
async fn invalid_tokens_are_rejected_alike_in_header_and_cookie() {
    let (stores, switch) = switched();
    let test = TestGoat::build(stores, |builder| builder);
    let alice = test.sign_in("alice", []).await;
    let bob = test.sign_in("bob", []).await;
    let principal = test.goat.authenticate_token(bob.access_token()).await.unwrap();
    test.goat.logout(&principal, &Default::default()).await.unwrap();
    let layer = test.goat.authenticate().cookies(COOKIES);
    let services = [layer.clone().layer(whoami()), layer.optional().layer(whoami())];
    let refresh = alice.tokens.refresh_token.expose();
    for (token, outcome) in [
        (bob.access_token(), (401, "session-revoked")),
        ("nonsense", (401, "invalid-token")),
        (refresh, (401, "invalid-token")),
        ("", (401, "invalid-token")),
        ("\"quoted\"", (401, "invalid-token")),
        (&"x".repeat(9000), (401, "invalid-token")),
    ] {
        for service in &services {
            let response = send(service, from_site("same-origin", token)).await;
            assert_eq!(response.outcome(), outcome, "{token}");
            assert_eq!(whole(&response), whole(&send(service, bearer(token)).await));
        }
    }
    // O1: an unavailable store is also handled alike.
    switch.set(StoreState::Down);
    for service in &services {
        let response = send(service, from_page(&alice)).await;
        assert_eq!(response.outcome(), (503, "unavailable"));
        assert_eq!(whole(&response), whole(&send(service, bearer(alice.access_token())).await));
    }
    switch.set(StoreState::Up);
    test.clock.advance(Duration::from_secs(3600));
    for service in &services {
        let response = send(service, from_page(&alice)).await;
        assert_eq!(response.outcome(), (401, "token-expired"));
        assert!(response.header("www-authenticate").contains(r#"error="invalid_token""#));
        assert_eq!(response.header("set-cookie"), "", "the refresh token is still valid");
        assert_eq!(whole(&response), whole(&send(service, bearer(alice.access_token())).await));
    }
}

/// CSRF: the rejection does not reveal whether the token is valid.
#[tokio::test]
async fn cross_site_requests_are_rejected_before_the_token_is_verified() {
    let (stores, switch) = switched();
    let test = TestGoat::build(stores, |builder| builder);
    let alice = test.sign_in("alice", []).await;
    let layer = test.goat.authenticate().cookies(COOKIES);
    switch.set(StoreState::Down);
    for layer in [layer.clone(), layer.optional()] {
        let service = layer.layer(whoami());
        let mut responses = Vec::new();
        for token in [alice.access_token(), "a.canary.token", "\"canary\"", ""] {
            let response = send(&service, from_site("same-site", token)).await;
            assert_eq!(response.outcome(), (403, "cross-site-request"));
            assert_eq!(response.header("www-authenticate"), "");
            assert_eq!(response.header("cache-control"), "no-store");
            let reason = response.head.extensions().get::<Denial>().unwrap();
            assert_eq!(reason.code(), "cross-site-request");
            assert!(!format!("{response:?} {reason:?}").contains("canary"));
            responses.push((response.head.headers().clone(), response.body));
        }
        assert!(responses.windows(2).all(|pair| pair[0] == pair[1]), "{responses:?}");
        assert!(responses[0].1.contains("Authorization header"), "advice for developers");
    }
    // A request without the cookie is anonymous.
    switch.set(StoreState::Up);
    let mut anonymous = from_page(&alice);
    anonymous.headers_mut().insert("cookie", format!("{REFRESH}=a.b").parse().unwrap());
    anonymous.headers_mut().insert("sec-fetch-site", "cross-site".parse().unwrap());
    let service = test.goat.authenticate().cookies(COOKIES).optional().layer(whoami());
    let response = send(&service, anonymous).await;
    assert_eq!((response.outcome(), response.header("x-user")), ((200, ""), ""));
    assert_eq!(
        response.header("cache-control"),
        "",
        "without credentials the response is not personal"
    );
}

/// Cross-site WebSocket hijacking: any page can open a WebSocket with `GET`, and browsers send
/// cookies.
#[tokio::test]
async fn websockets_need_the_same_origin() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", []).await;
    let service = test.goat.authenticate().cookies(COOKIES).layer(whoami());
    for (origin, status) in [
        ("http://localhost:3000", 200),
        ("http://localhost:4000", 403),
        ("https://evil.example", 403),
        ("null", 403),
    ] {
        let mut open = from_page(&alice);
        *open.method_mut() = Method::GET;
        let headers = open.headers_mut();
        headers.remove("sec-fetch-site");
        headers.insert("host", "localhost:3000".parse().unwrap());
        headers.insert("connection", "Upgrade".parse().unwrap());
        headers.insert("upgrade", "websocket".parse().unwrap());
        headers.insert("origin", origin.parse().unwrap());
        assert_eq!(send(&service, open).await.status.as_u16(), status, "{origin}");
    }
}

#[tokio::test]
async fn repeated_cookies_are_a_bad_request_even_if_optional() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", []).await;
    let strict = test.goat.authenticate().cookies(COOKIES);
    for layer in [strict.clone(), strict.optional()] {
        let mut twice = from_page(&alice);
        let cookie = twice.headers()["cookie"].clone();
        twice.headers_mut().append("cookie", cookie);
        let response = send(&layer.layer(whoami()), twice).await;
        assert_eq!(response.outcome(), (400, "bad-request"));
        assert_eq!(response.header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn optional_authentication_allows_anonymous_requests_and_rejects_invalid_cookies() {
    let test = TestGoat::new();
    let service = test.goat.authenticate().cookies(COOKIES).optional().layer(whoami());
    let response = send(&service, request(None)).await;
    assert_eq!((response.outcome(), response.header("x-user")), ((200, ""), ""));
    let response = send(&service, from_site("same-origin", "nonsense")).await;
    assert_eq!(response.outcome(), (401, "invalid-token"));
}

#[tokio::test]
async fn the_application_can_render_the_denial_and_grpc_gets_trailers() {
    let test = TestGoat::new();
    let layer = test.goat.authenticate().cookies(COOKIES);
    let grpc = in_grpc(from_site("cross-site", "a.b.c"), "application/grpc-web");
    let response = send(&layer.clone().layer(whoami()), grpc).await;
    assert_eq!((response.status.as_u16(), response.header("grpc-status")), (200, "7"));

    let layer = layer.render_with(|denial: &Denial, _: &http::request::Parts| {
        http::Response::new(bytes::Bytes::from(denial.code()))
    });
    let response = send(&layer.layer(whoami()), from_site("cross-site", "a.b.c")).await;
    assert_eq!(response.body, "cross-site-request");
}

/// RFC 6265bis §4.1.3.2; in this test access tokens live five minutes, and refresh tokens seven days.
#[tokio::test]
async fn cookies_expire_with_their_tokens() {
    let test = TestGoat::build(Stores::memory(), |builder| {
        let session_ttl = Duration::from_secs(7 * 86_400 + 60);
        builder.settings(Settings { session_ttl, account_quota: None, ..Settings::default() })
    });
    // With the clock between two seconds, cookies still expire no later than their tokens.
    test.clock.advance(Duration::from_millis(400));
    let alice = test.sign_in("alice", []).await;
    let access = alice.access_token();
    let refresh = alice.tokens.refresh_token.expose();
    let mut headers = HeaderMap::new();
    headers.insert("cache-control", "max-age=60".parse().unwrap());
    headers.insert("set-cookie", "theme=dark".parse().unwrap());
    COOKIES.put(&alice.tokens, &mut headers).unwrap();
    let flags = "Path=/; Secure; HttpOnly; SameSite";
    assert_eq!(
        set_cookies(&headers),
        [
            "theme=dark".to_owned(),
            format!("{ACCESS}={access}; Max-Age=299; {flags}=Lax"),
            format!("{REFRESH}={refresh}; Max-Age=604799; {flags}=Strict"),
        ]
    );
    assert_eq!(headers["cache-control"], "no-store");
    assert!(!format!("{headers:?}").contains(refresh), "headers are logged without the token");

    // After six days and 23 hours the session's end is nearer than the refresh token's usual
    // expiry.
    test.clock.advance(Duration::from_secs(7 * 86_400 - 3600));
    let origin = Default::default();
    let next = test.goat.refresh(&alice.tokens.refresh_token, &origin).await.unwrap();
    let mut headers = HeaderMap::new();
    let cookies = COOKIES.names("__Host-a", "__Host-b").same_site(SameSite::Strict);
    cookies.put(&next.tokens, &mut headers).unwrap();
    let set = set_cookies(&headers);
    assert!(set[0].starts_with("__Host-a=") && set[1].starts_with("__Host-b="), "{set:?}");
    assert!(set[0].ends_with(&format!("; Max-Age=299; {flags}=Strict")), "{set:?}");
    assert!(set[1].ends_with(&format!("; Max-Age=3659; {flags}=Strict")), "{set:?}");
}

#[test]
fn cookies_are_cleared_with_the_same_attributes() {
    let mut headers = HeaderMap::new();
    COOKIES.clear(&mut headers);
    let flags = "Max-Age=0; Path=/; Secure; HttpOnly; SameSite";
    assert_eq!(
        set_cookies(&headers),
        [format!("{ACCESS}=; {flags}=Lax"), format!("{REFRESH}=; {flags}=Strict")]
    );
    assert_eq!(headers["cache-control"], "no-store");
}

/// A browser would silently drop the cookie, and the login would have no effect.
#[tokio::test]
async fn a_token_too_long_for_a_cookie_is_an_error() {
    let test = TestGoat::build(Stores::memory(), |builder| {
        let settings = Settings { account_quota: None, ..Settings::default() };
        builder.settings(Settings { access_token_permissions: true, ..settings })
    });
    let few = test.sign_in("alice", [REPORTS]).await;
    assert!(COOKIES.put(&few.tokens, &mut HeaderMap::new()).is_ok());

    let names: Vec<_> = (0..200).map(|number| format!("report_{number}:read")).collect();
    let many = names.iter().map(|name| Permission::parse(name).unwrap());
    let many = test.sign_in("alice", many).await;
    let mut headers = HeaderMap::new();
    let error = COOKIES.put(&many.tokens, &mut headers).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("access_token_permissions"), "{error}");
    assert_eq!(Problem::from(error).status().as_u16(), 500);
    assert!(headers.is_empty());

    // Other values, which could inject attributes, are rejected too.
    for text in ["", "a; Domain=example.org", "a\r\nx: y"] {
        let mut made_up = few.tokens.clone();
        made_up.refresh_token = text.into();
        assert!(COOKIES.put(&made_up, &mut headers).is_err() && headers.is_empty(), "{text:?}");
    }
}

#[test]
fn every_cookie_error_has_a_response() {
    for (error, response) in [
        (CookieError::CrossSite, (403, "cross-site-request")),
        (CookieError::Missing, (401, "unauthenticated")),
        (CookieError::Repeated, (400, "bad-request")),
        (CookieError::TooLong, (401, "invalid-token")),
        (CookieError::Malformed, (401, "invalid-token")),
    ] {
        let problem = Problem::from(error);
        assert_eq!((problem.status().as_u16(), problem.code()), response, "{error}");
    }
}

/// A full session: login, refresh, logout.
#[tokio::test]
async fn a_session_is_refreshed_and_ended_by_cookies() {
    let test = TestGoat::new();
    let service = ServiceBuilder::new()
        .layer(test.goat.authenticate().cookies(COOKIES))
        .layer(test.goat.require(REPORTS))
        .service(whoami());
    let jar = |headers: &HeaderMap| {
        let pairs = set_cookies(headers).into_iter().map(|set| set.split(';').next().unwrap());
        pairs.collect::<Vec<_>>().join("; ")
    };
    let page = |cookie: &str| {
        let mut request = with_header("cookie", cookie);
        *request.method_mut() = Method::POST;
        request.headers_mut().insert("sec-fetch-site", "same-origin".parse().unwrap());
        request
    };
    let alice = test.sign_in("alice", [REPORTS]).await;
    let mut headers = HeaderMap::new();
    COOKIES.put(&alice.tokens, &mut headers).unwrap();
    let cookie = jar(&headers);
    assert_eq!(send(&service, page(&cookie)).await.outcome(), (200, ""));

    test.clock.advance(Duration::from_secs(310));
    assert_eq!(send(&service, page(&cookie)).await.outcome(), (401, "token-expired"));
    let (parts, _) = page(&cookie).into_parts();
    let presented = COOKIES.refresh_token(&parts).unwrap();
    let next = test.goat.refresh(&presented, &Default::default()).await.unwrap();
    let mut headers = HeaderMap::new();
    COOKIES.put(&next.tokens, &mut headers).unwrap();
    let cookie = jar(&headers);
    assert_eq!(send(&service, page(&cookie)).await.outcome(), (200, ""));

    let principal = test.goat.authenticate_token(next.tokens.access_token.expose()).await.unwrap();
    test.goat.logout(&principal, &Default::default()).await.unwrap();
    assert_eq!(send(&service, page(&cookie)).await.outcome(), (401, "session-revoked"));
}

/// Outside authentication, so that a flood with one token costs no signature verification.
#[tokio::test]
async fn a_limit_by_token_or_cookie_counts_the_cookies_token() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", []).await;
    let bob = test.sign_in("bob", []).await;
    let limit = |name| test.goat.limit(Quota::per_minute(1)).named(name);
    let service = limit("cookies").by_token_or_cookie(COOKIES).layer(whoami());
    assert_eq!(send(&service, from_page(&alice)).await.outcome().0, 200);
    // One token has one counter, in the header or in the cookie.
    for request in [from_page(&alice), bearer(alice.access_token())] {
        assert_eq!(send(&service, request).await.outcome(), (429, "rate-limited"));
    }
    assert_eq!(send(&service, from_page(&bob)).await.outcome().0, 200);
    // A cross-site page cannot exhaust the user's quota.
    let carol = test.sign_in("carol", []).await;
    let foreign = || from_site("cross-site", carol.access_token());
    assert_eq!(send(&service, foreign()).await.outcome().0, 200);
    assert_eq!(send(&service, foreign()).await.outcome(), (429, "rate-limited"));
    assert_eq!(send(&service, from_page(&carol)).await.outcome().0, 200);

    let service = limit("header only").by_token().layer(whoami());
    for _ in 0..3 {
        let response = send(&service, from_page(&alice)).await;
        assert_eq!((response.outcome().0, response.header("ratelimit")), (200, ""));
    }
}

/// L1, L2: the compared values are quoted, and the token is not logged.
#[cfg(feature = "tracing")]
#[test]
fn the_log_shows_the_compared_origins() {
    let mut request = from_site("same-site", "a.b.c");
    request.headers_mut().insert("origin", "https://app.example.org".parse().unwrap());
    request.headers_mut().insert("host", http::HeaderValue::from_bytes(b"inner\xff:80").unwrap());
    let (parts, _) = request.into_parts();
    let lines = crate::support::log::logged(|| {
        assert_eq!(COOKIES.check(&parts), Err(CookieError::CrossSite));
    });
    let [(level, line)] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(*level, tracing::Level::DEBUG);
    assert!(line.contains("Cookies::allow_origin"), "{line}");
    for value in [r#"site=Some("same-site")"#, r#"origin=Some("https://app.example.org")"#] {
        assert!(line.contains(value), "{line}");
    }
    assert!(line.contains("host=Some(\"inner\u{fffd}:80\")"), "{line}");
    assert!(!line.contains("a.b.c"), "{line}");
}
