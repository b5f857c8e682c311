//! The limit layer: quotas, windows, names and unavailable stores.

mod keys;
#[cfg(feature = "tracing")]
mod log;
mod path_template;

use std::time::Duration;

use goat_core::testing::TestGoat;
use goat_core::{Principal, Quota};
use goat_tower::address::{ClientAddress, ClientAddressLayer, PeerAddress, TrustedProxies};
use goat_tower::{Denial, GoatExt, RateLimitHeaders};
use http::request::Parts;
use tower::{Layer, ServiceBuilder};

use crate::support::stores::{StoreState, switched};
use crate::support::{request, send, whoami, with_header};

/// B5, B6
#[tokio::test]
async fn an_address_is_limited_until_its_window_has_room() {
    let test = TestGoat::new();
    let service = test.goat.limit(Quota::per_minute(2)).by_address().layer(whoami());
    let from = |address: [u16; 8]| {
        let mut request = request(None);
        request.extensions_mut().insert(ClientAddress::new(address.into()));
        request
    };
    let (one, same_64, other) = (
        [0x2001, 0xdb8, 0, 1, 0, 0, 0, 1],
        [0x2001, 0xdb8, 0, 1, 9, 9, 9, 9],
        [0x2001, 0xdb8, 0, 2, 0, 0, 0, 1],
    );
    let response = send(&service, from(one)).await;
    assert_eq!(response.outcome(), (200, ""));
    assert_eq!(response.header("ratelimit-policy"), r#""address";q=2;w=60"#);
    assert_eq!(response.header("ratelimit"), r#""address";r=1;t=60"#);
    assert_eq!(response.header("x-ratelimit-remaining"), "", "by default only those of the IETF");
    assert_eq!(response.header("retry-after"), "");
    test.clock.advance(Duration::from_secs(10));
    assert_eq!(send(&service, from(same_64)).await.outcome(), (200, ""));

    let response = send(&service, from(one)).await;
    assert_eq!(response.outcome(), (429, "rate-limited"));
    assert_eq!(response.header("retry-after"), "50");
    assert_eq!(response.header("ratelimit"), r#""address";r=0;t=50"#);
    assert_eq!(send(&service, from(other)).await.outcome(), (200, ""));
    test.clock.advance(Duration::from_secs(50));
    assert_eq!(send(&service, from(one)).await.outcome(), (200, ""));
}

/// B9: the /48 counts too, at sixteen times the quota, by each key with an address in it. A request that
/// either rejects counts for neither.
#[tokio::test]
async fn an_ipv6_48_has_sixteen_times_the_quota() {
    let test = TestGoat::new();
    let limit = || test.goat.limit(Quota::per_minute(2));
    for (name, limit) in [
        ("address", limit().by_address()),
        ("address-path", limit().by_address().by_path_template()),
        ("path-address", limit().by_path_template().by_address()),
    ] {
        let service = limit.layer(whoami());
        let from = |network: u16, subnet: u16| {
            let address = [0x2001, 0xdb8, network, subnet, 0, 0, 0, 1];
            let mut request = request(None);
            request.extensions_mut().insert(ClientAddress::new(address.into()));
            request
        };
        let mut allowed = 0;
        for subnet in 0..20 {
            // The third request of a /64 is rejected by it, and does not count for the /48.
            for _ in 0..3 {
                allowed += u32::from(send(&service, from(1, subnet)).await.outcome() == (200, ""));
            }
        }
        assert_eq!(allowed, 32, "{name}");
        let rejected = send(&service, from(1, 999)).await;
        assert_eq!(rejected.outcome(), (429, "rate-limited"));
        assert_eq!(rejected.header("ratelimit-policy"), format!("\"{name}\";q=32;w=60"));
        assert_eq!(rejected.header("ratelimit"), format!("\"{name}\";r=0;t=60"));
        let response = send(&service, from(2, 999)).await;
        assert_eq!(response.header("ratelimit"), format!("\"{name}\";r=1;t=60"));
    }
}

/// A limit by address does not count the calls of an excepted proxy, whatever client they are for.
#[tokio::test]
async fn calls_of_an_excepted_proxy_are_not_counted() {
    let test = TestGoat::new();
    let proxies = TrustedProxies::parse(["10.0.0.0/8"]).expect("a range");
    let limit = test.goat.limit(Quota::per_minute(1)).by_address().except_from(proxies.clone());
    assert!(limit.to_string().ends_with("counted by address, except from trusted proxies"));
    let service = ServiceBuilder::new()
        .layer(ClientAddressLayer::new().trust(proxies))
        .layer(limit)
        .service(whoami());
    let from = |peer: &str| {
        let mut request = request(None);
        let peer = std::net::SocketAddr::new(peer.parse().expect("an address"), 4711);
        request.extensions_mut().insert(PeerAddress(peer));
        request.headers_mut().insert("x-forwarded-for", "192.0.2.7".parse().expect("a value"));
        request
    };
    for peer in ["10.0.0.1", "10.0.0.1", "::ffff:10.0.0.1"] {
        let response = send(&service, from(peer)).await;
        assert_eq!((response.outcome(), response.header("ratelimit")), ((200, ""), ""));
    }
    // Any other peer is a client, and the header is ignored.
    assert_eq!(send(&service, from("203.0.113.9")).await.outcome(), (200, ""));
    assert_eq!(send(&service, from("203.0.113.9")).await.outcome(), (429, "rate-limited"));
}

/// B5: a burst, then one request per second.
#[tokio::test]
async fn a_burst_is_allowed_and_refills_one_by_one() {
    let test = TestGoat::new();
    let quota = Quota::per_minute(60).burst(2);
    let service = test.goat.limit(quota).by_address().layer(whoami());
    let from = || {
        let mut request = request(None);
        request.extensions_mut().insert(ClientAddress::new([192, 0, 2, 7].into()));
        request
    };
    let response = send(&service, from()).await;
    assert_eq!(response.outcome(), (200, ""));
    assert_eq!(response.header("ratelimit-policy"), r#""address";q=60;w=60;goat-burst=2"#);
    assert_eq!(response.header("ratelimit"), r#""address";r=1;t=1"#);
    assert_eq!(send(&service, from()).await.outcome(), (200, ""));
    let response = send(&service, from()).await;
    assert_eq!(response.outcome(), (429, "rate-limited"));
    assert_eq!(response.header("retry-after"), "1");
    test.clock.advance(Duration::from_secs(1));
    assert_eq!(send(&service, from()).await.outcome(), (200, ""));
    assert_eq!(send(&service, from()).await.outcome(), (429, "rate-limited"));
}

#[tokio::test]
async fn users_are_counted_across_sessions_and_anonymous_requests_are_not() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", []).await;
    let again = test.sign_in("alice", []).await;
    let bob = test.sign_in("bob", []).await;
    let service = ServiceBuilder::new()
        .layer(test.goat.authenticate().optional())
        .layer(test.goat.limit(Quota::per_minute(1)).by_user())
        .service(whoami());
    let response = send(&service, request(Some(&alice))).await;
    assert_eq!(response.header("ratelimit"), r#""user";r=0;t=60"#);
    assert_eq!(send(&service, request(Some(&again))).await.outcome(), (429, "rate-limited"));
    assert_eq!(send(&service, request(Some(&bob))).await.outcome(), (200, ""));
    for _ in 0..3 {
        let response = send(&service, request(None)).await;
        assert_eq!((response.outcome(), response.header("ratelimit")), ((200, ""), ""));
    }
}

#[tokio::test]
async fn a_custom_key_is_counted_and_none_is_not() {
    let test = TestGoat::new();
    let layer =
        test.goat.limit(Quota::per_minute(1)).named("tenant").by_custom_key(|request: &Parts| {
            Some(request.headers.get("x-tenant")?.to_str().ok()?.into())
        });
    let service = layer.layer(whoami());
    let response = send(&service, with_header("x-tenant", "a")).await;
    assert_eq!(response.header("ratelimit"), r#""tenant";r=0;t=60"#);
    let response = send(&service, with_header("x-tenant", "a")).await;
    assert_eq!(response.outcome(), (429, "rate-limited"));
    assert_eq!(send(&service, with_header("x-tenant", "b")).await.outcome(), (200, ""));
    for _ in 0..3 {
        assert_eq!(send(&service, request(None)).await.outcome(), (200, ""));
    }
}

#[tokio::test]
async fn several_limits_share_the_headers_and_a_rejecting_limit_is_not_charged() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", []).await;
    let service = ServiceBuilder::new()
        .layer(test.goat.limit(Quota::per_minute(9)).by_address().headers(RateLimitHeaders::Both))
        .layer(test.goat.authenticate())
        .layer(test.goat.limit(Quota::per_minute(1)).by_user())
        .layer(test.goat.limit(Quota::per_hour(5)).by_user().named("exports"))
        .service(whoami());
    let response = send(&service, request(Some(&alice))).await;
    let all = r#""address";r=8;t=60, "user";r=0;t=60, "exports";r=4;t=3600"#;
    assert_eq!(response.header("ratelimit"), all);
    assert_eq!(response.header("x-ratelimit-limit"), "1");

    test.clock.advance(Duration::from_secs(20));
    let response = send(&service, request(Some(&alice))).await;
    assert_eq!(response.outcome(), (429, "rate-limited"));
    // The outer limit was charged; the layers behind the rejection were not called.
    assert_eq!(response.header("ratelimit"), r#""address";r=7;t=40, "user";r=0;t=40"#);
    assert_eq!(response.header("retry-after"), "40");
    test.clock.advance(Duration::from_secs(40));
    let response = send(&service, request(Some(&alice))).await;
    assert!(response.header("ratelimit").ends_with(r#""exports";r=3;t=3540"#), "{response:?}");
}

#[tokio::test]
async fn limits_with_equal_name_and_quota_share_counters() {
    let test = TestGoat::new();
    let limit = test.goat.limit(Quota::per_minute(1)).by_address();
    let (here, there) = (limit.layer(whoami()), limit.layer(whoami()));
    let named = limit.clone().named("separate").layer(whoami());
    let longer = test.goat.limit(Quota::per_hour(1)).by_address().layer(whoami());
    assert_eq!(send(&here, request(None)).await.outcome(), (200, ""));
    assert_eq!(send(&there, request(None)).await.outcome(), (429, "rate-limited"));
    assert_eq!(send(&named, request(None)).await.outcome(), (200, ""));
    assert_eq!(send(&longer, request(None)).await.outcome(), (200, ""));
}

#[tokio::test]
async fn limits_of_one_name_can_count_separately() {
    let test = TestGoat::new();
    let limit = test.goat.limit(Quota::per_minute(1)).by_address().named("auth");
    let login = limit.clone().counted_as("login").layer(whoami());
    let signup = limit.counted_as("signup").layer(whoami());
    let shown = r#""auth";r=0;t=60"#;
    for service in [&login, &signup] {
        let response = send(service, request(None)).await;
        assert_eq!((response.outcome(), response.header("ratelimit")), ((200, ""), shown));
        let response = send(service, request(None)).await;
        assert_eq!(response.outcome(), (429, "rate-limited"));
        assert_eq!(response.header("ratelimit"), shown);
    }
}

/// B8
#[tokio::test]
async fn an_unavailable_limit_store_rejects_every_request() {
    let (stores, switch) = switched();
    let test = TestGoat::build(stores, |builder| builder);
    let service = test.goat.limit(Quota::per_minute(2)).layer(whoami());
    assert_eq!(send(&service, request(None)).await.header("ratelimit"), r#""address";r=1;t=60"#);
    switch.set(StoreState::Down);
    let response = send(&service, request(None)).await;
    assert_eq!(response.outcome(), (503, "unavailable"));
    assert_eq!(response.header("retry-after"), "1");
    switch.set(StoreState::Up);
    assert_eq!(send(&service, request(None)).await.outcome(), (200, ""));
    assert_eq!(send(&service, request(None)).await.outcome(), (429, "rate-limited"));
}

#[tokio::test]
async fn without_a_client_address_layer_the_peer_is_counted() {
    let test = TestGoat::new();
    let service = test.goat.limit(Quota::per_minute(1)).by_address().layer(whoami());
    let from = |peer: [u8; 4], claim: &'static str| {
        let mut request = with_header("x-forwarded-for", claim);
        request.extensions_mut().remove::<ClientAddress>();
        request.extensions_mut().insert(PeerAddress((peer, 4711).into()));
        request
    };
    let response = send(&service, from([192, 0, 2, 7], "198.51.100.1")).await;
    assert_eq!(response.outcome(), (200, ""));
    let response = send(&service, from([192, 0, 2, 7], "198.51.100.2")).await;
    assert_eq!(response.outcome(), (429, "rate-limited"));
    let response = send(&service, from([192, 0, 2, 8], "198.51.100.1")).await;
    assert_eq!(response.outcome(), (200, ""));
}

#[tokio::test]
async fn a_missing_address_or_authentication_is_an_error_not_a_bypass() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", []).await;
    let limit = test.goat.limit(Quota::per_minute(2));
    let mut nowhere = request(None);
    nowhere.extensions_mut().remove::<ClientAddress>();
    let by_user = limit.clone().by_user().layer(whoami());
    let by_session = limit.clone().by_session().layer(whoami());
    let by_both = limit.clone().by_address().by_user().layer(whoami());
    let cases = [
        (send(&limit.clone().by_address().layer(whoami()), nowhere).await, "PeerAddress"),
        (send(&by_user, request(None)).await, "authenticate()"),
        (send(&by_user, request(Some(&alice))).await, "authenticate()"),
        (send(&by_session, request(Some(&alice))).await, "authenticate()"),
        (send(&by_both, request(Some(&alice))).await, "authenticate()"),
    ];
    for (response, advice) in cases {
        assert_eq!(response.outcome(), (500, "internal"));
        assert!(!response.body.contains(advice), "no details for the client: {}", response.body);
        let reason = response.head.extensions().get::<Denial>().unwrap();
        assert!(reason.error().unwrap().to_string().contains(advice), "{reason:?}");
    }
    let mut known = request(None);
    let principal = test.goat.authenticate_token(alice.access_token()).await.unwrap();
    known.extensions_mut().insert::<Principal>(principal);
    assert_eq!(send(&by_user, known).await.outcome(), (200, ""));
}
