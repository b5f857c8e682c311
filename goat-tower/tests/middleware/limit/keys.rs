//! Keys of limits, single and combined, and attempts to evade them.

use goat_core::Quota;
use goat_core::testing::TestGoat;
use goat_tower::address::ClientAddress;
use goat_tower::{GoatExt, LimitLayer};
use http::{HeaderName, HeaderValue, Request};
use tower::{Layer, ServiceBuilder};

use crate::support::{Sent, request, send, whoami, with_header};

const ONE: Quota = Quota::per_minute(1);
const KEY: HeaderName = HeaderName::from_static("x-api-key");

fn from(last: u8, mut request: Request<Sent>) -> Request<Sent> {
    request.extensions_mut().insert(ClientAddress::new([192, 0, 2, last].into()));
    request
}

/// A request with these header values, one line each.
fn keys(values: &[&[u8]]) -> Request<Sent> {
    let mut request = request(None);
    for value in values {
        request.headers_mut().append(KEY, HeaderValue::from_bytes(value).unwrap());
    }
    request
}

/// Sends requests in sequence; returns which were allowed.
async fn allowed(
    layer: LimitLayer,
    requests: impl IntoIterator<Item = Request<Sent>>,
) -> Vec<bool> {
    let service = layer.layer(whoami());
    let mut allowed = Vec::new();
    for request in requests {
        let response = send(&service, request).await;
        assert!(matches!(response.status.as_u16(), 200 | 429), "{response:?}");
        allowed.push(response.status == 200);
    }
    allowed
}

#[tokio::test]
async fn sessions_are_counted_across_tokens_and_anonymous_requests_are_not() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", []).await;
    let again = test.sign_in("alice", []).await;
    let service = ServiceBuilder::new()
        .layer(test.goat.authenticate().optional())
        .layer(test.goat.limit(ONE).by_session())
        .service(whoami());
    let response = send(&service, request(Some(&alice))).await;
    assert_eq!(response.header("ratelimit"), r#""session";r=0;t=60"#);
    let origin = Default::default();
    let refreshed = test.goat.refresh(&alice.tokens.refresh_token, &origin).await;
    let tokens = refreshed.unwrap().tokens;
    let bearer = format!("Bearer {}", tokens.access_token.expose());
    let response = send(&service, with_header("authorization", &bearer)).await;
    assert_eq!(response.outcome(), (429, "rate-limited"));
    assert_eq!(send(&service, request(Some(&again))).await.outcome(), (200, ""));
    for _ in 0..3 {
        assert_eq!(send(&service, request(None)).await.outcome(), (200, ""));
    }
}

#[tokio::test]
async fn tokens_are_counted_without_verification() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", []).await;
    let bob = test.sign_in("bob", []).await;
    let service = ServiceBuilder::new()
        .layer(test.goat.limit(ONE).by_token())
        .layer(test.goat.authenticate())
        .service(whoami());
    let response = send(&service, request(Some(&alice))).await;
    assert_eq!(
        (response.outcome(), response.header("ratelimit")),
        ((200, ""), r#""token";r=0;t=60"#)
    );
    // From any address, and in any accepted spelling.
    let spelt = format!("bEARER   {}", alice.access_token());
    let other_address = from(99, with_header("authorization", &spelt));
    assert_eq!(send(&service, other_address).await.outcome(), (429, "rate-limited"));
    assert_eq!(send(&service, request(Some(&bob))).await.outcome(), (200, ""));
    // Unverified tokens are counted too: the second request needs no signature verification.
    let forged = || with_header("authorization", "Bearer a.b.c");
    assert_eq!(send(&service, forged()).await.outcome(), (401, "invalid-token"));
    assert_eq!(send(&service, forged()).await.outcome(), (429, "rate-limited"));
    for _ in 0..3 {
        assert_eq!(send(&service, request(None)).await.outcome(), (401, "unauthenticated"));
    }
}

/// J8: malformed tokens must not evade the counter.
#[tokio::test]
async fn malformed_and_repeated_tokens_share_one_counter() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", []).await;
    let twice = |other: &str| {
        let mut request = request(Some(&alice));
        request.headers_mut().append("authorization", other.parse().unwrap());
        request
    };
    let odd = [
        twice("Bearer a"),
        twice("Bearer b"),
        twice("Basic YTpi"),
        with_header("authorization", "Bearer a b"),
        with_header("authorization", &format!("Bearer {}", "x".repeat(9000))),
    ];
    let limit = test.goat.limit(ONE).by_token();
    assert_eq!(allowed(limit, odd).await, [true, false, false, false, false]);
}

#[tokio::test]
async fn header_values_are_counted_under_the_header_name() {
    let test = TestGoat::new();
    let service = test.goat.limit(ONE).by_header(KEY).layer(whoami());
    let response = send(&service, keys(&[b"one"])).await;
    assert_eq!(
        (response.outcome(), response.header("ratelimit")),
        ((200, ""), r#""x-api-key";r=0;t=60"#)
    );
    assert_eq!(send(&service, keys(&[b"one"])).await.outcome(), (429, "rate-limited"));
    assert_eq!(send(&service, keys(&[b"two"])).await.outcome(), (200, ""));
    for _ in 0..3 {
        assert_eq!(send(&service, request(None)).await.outcome(), (200, ""));
    }
}

/// Attempts to evade a limit by header: several lines, non-ASCII bytes, empty values.
#[tokio::test]
async fn repeated_and_non_text_headers_are_counted() {
    let test = TestGoat::new();
    let limit = || test.goat.limit(ONE).by_header(KEY);
    let twice = [
        keys(&[b"one"]),
        keys(&[b"one", b"1"]),
        keys(&[b"one", b"2"]),
        keys(&[b"3", b"one"]),
        keys(&[b"one", b"one", b"one"]),
    ];
    assert_eq!(allowed(limit().named("a"), twice).await, [true, true, false, false, false]);
    let odd =
        [keys(&[b"\xff\xfe"]), keys(&[b"\xff\xfe"]), keys(&[b"\xff"]), keys(&[b""]), keys(&[b""])];
    assert_eq!(allowed(limit().named("b"), odd).await, [true, false, true, true, false]);
}

#[tokio::test]
async fn equal_values_of_different_headers_are_counted_separately() {
    let test = TestGoat::new();
    let limit = || test.goat.limit(ONE).named("tenant");
    let other = HeaderName::from_static("x-other");
    let one = || {
        let mut request = keys(&[b"a"]);
        request.headers_mut().insert("x-other", HeaderValue::from_static("a"));
        request
    };
    assert_eq!(allowed(limit().by_header(KEY), [one(), one()]).await, [true, false]);
    assert_eq!(allowed(limit().by_header(other.clone()), [one(), one()]).await, [true, false]);
    assert_eq!(
        allowed(limit().by_header(KEY).by_header(other), [one(), one()]).await,
        [true, false]
    );
    assert_eq!(
        allowed(limit().by_custom_key(|_| Some("a".into())), [one(), one()]).await,
        [true, false]
    );
}

#[tokio::test]
async fn combined_keys_are_counted_per_combination() {
    let test = TestGoat::new();
    let service = test.goat.limit(ONE).by_address().by_header(KEY).layer(whoami());
    for (last, key) in [(1, "a"), (1, "b"), (2, "a"), (2, "b")] {
        let response = send(&service, from(last, keys(&[key.as_bytes()]))).await;
        assert_eq!(response.outcome(), (200, ""), "{last} {key}");
        assert_eq!(response.header("ratelimit"), r#""address-x-api-key";r=0;t=60"#);
    }
    for (last, key) in [(1, "a"), (1, "b"), (2, "a"), (2, "b")] {
        let response = send(&service, from(last, keys(&[key.as_bytes()]))).await;
        assert_eq!(response.outcome(), (429, "rate-limited"), "{last} {key}");
    }
}

#[tokio::test]
async fn repeated_parts_count_once_and_custom_keys_combine() {
    let test = TestGoat::new();
    let limit = test.goat.limit(ONE);
    let twice = limit.clone().by_address().by_header(KEY).by_address().by_header(KEY);
    assert!(twice.to_string().ends_with("counted by address and header x-api-key"), "{twice}");
    let keys = limit.by_custom_key(|request| Some(request.method.to_string().into()));
    let keys = keys.by_custom_key(|request| Some(request.uri.path().into()));
    assert!(keys.to_string().ends_with("counted by custom key and custom key"), "{keys}");
    let at = |method: &str, path: &str| {
        let mut request = request(None);
        *request.method_mut() = method.parse().unwrap();
        *request.uri_mut() = path.parse().unwrap();
        request
    };
    let requests = [at("GET", "/a"), at("GET", "/b"), at("PUT", "/a"), at("GET", "/a")];
    assert_eq!(allowed(keys, requests).await, [true, true, true, false]);
}

/// Omitting an optional part moves a client to the counter of those that omit it, no further.
#[tokio::test]
async fn omitting_a_part_does_not_evade_the_rest() {
    let test = TestGoat::new();
    let limit = test.goat.limit(ONE).by_address().by_header(KEY);
    let requests = [
        from(1, keys(&[b"a"])),
        from(1, keys(&[])),
        from(1, keys(&[])),
        from(2, keys(&[])),
        from(2, keys(&[])),
        // An empty value counts as a value.
        from(2, keys(&[b""])),
    ];
    assert_eq!(allowed(limit, requests).await, [true, true, false, true, false, true]);
    let by_custom = test.goat.limit(ONE).by_address().by_custom_key(|_| None);
    assert_eq!(allowed(by_custom, [from(3, keys(&[])), from(3, keys(&[]))]).await, [true, false]);
}

#[tokio::test]
async fn requests_without_any_identifying_part_are_not_counted() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", []).await;
    let service = ServiceBuilder::new()
        .layer(test.goat.authenticate().optional())
        .layer(test.goat.limit(ONE).by_user().by_header(KEY).by_path_template())
        .service(whoami());
    for _ in 0..3 {
        let response = send(&service, request(None)).await;
        assert_eq!((response.outcome(), response.header("ratelimit")), ((200, ""), ""));
    }
    assert_eq!(send(&service, request(Some(&alice))).await.outcome(), (200, ""));
    assert_eq!(send(&service, request(Some(&alice))).await.outcome(), (429, "rate-limited"));
    // An anonymous client with a key is counted.
    assert_eq!(send(&service, keys(&[b"a"])).await.outcome(), (200, ""));
    assert_eq!(send(&service, keys(&[b"a"])).await.outcome(), (429, "rate-limited"));
}

#[tokio::test]
async fn stacked_limits_have_distinct_default_names() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", []).await;
    let limit = |count| test.goat.limit(Quota::per_minute(count));
    let service = ServiceBuilder::new()
        .layer(limit(9).by_address())
        .layer(limit(8).by_token())
        .layer(test.goat.authenticate())
        .layer(limit(7).by_session())
        .layer(limit(6).by_user())
        .layer(limit(5).by_user().by_path_template())
        .layer(limit(4).by_path_template())
        .layer(limit(3).by_header(KEY))
        .layer(limit(2).by_custom_key(|_| Some("all".into())))
        .layer(limit(1).by_user().by_session().by_address().named("once"))
        .service(whoami());
    let mut sent = request(Some(&alice));
    sent.headers_mut().insert(KEY, HeaderValue::from_static("a"));
    let response = send(&service, sent).await;
    let shown = r#""address";r=8;t=60, "token";r=7;t=60, "session";r=6;t=60, "user";r=5;t=60, "user-path";r=4;t=60, "path";r=3;t=60, "x-api-key";r=2;t=60, "custom";r=1;t=60, "once";r=0;t=60"#;
    assert_eq!((response.outcome(), response.header("ratelimit")), ((200, ""), shown));
}
