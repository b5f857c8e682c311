//! Every combination of limits and credentials, with the one layer and with three three_layers
//! layers.

use std::time::Duration;

use bytes::Bytes;
use goat_core::limit::LimitKey;
use goat_core::testing::TestGoat;
use goat_tower::{AuthenticateLayer, Denial, GoatExt, LimitLayer};
use http::request::Parts;
use http::{HeaderValue, Request, Response};
use http_body::Body;
use tower::{Layer, Service, ServiceBuilder};

use super::remote_stores::{ADDRESS, LimitLocation, RemoteStores, USER};
use crate::cookie::{COOKIES, from_site};
use crate::support::{Sent, TestResponse, request, send, whoami, with_header};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    Allows,
    Rejects,
    Fails,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Missing,
    Twice,
    Bad,
    Expired,
    Cached,
    Alive,
    /// In a cookie, from a page of the same origin.
    Cookie,
    /// In a cookie, from a cross-site page.
    Foreign,
    Dead,
    Fails,
}

impl Token {
    /// Valid, but not cached.
    fn is_cold(self) -> bool {
        matches!(self, Self::Alive | Self::Cookie | Self::Dead | Self::Fails)
    }
}

const LIMITS: [Limit; 3] = [Limit::Allows, Limit::Rejects, Limit::Fails];
const TOKENS: [Token; 10] = [
    Token::Missing,
    Token::Twice,
    Token::Bad,
    Token::Expired,
    Token::Cached,
    Token::Alive,
    Token::Cookie,
    Token::Foreign,
    Token::Dead,
    Token::Fails,
];

#[derive(Clone, Copy, Debug)]
struct Case {
    location: LimitLocation,
    optional: bool,
    address: Limit,
    token: Token,
    user: Limit,
}

impl Case {
    fn all() -> Vec<Self> {
        let mut cases = Vec::new();
        for location in
            [LimitLocation::Memory, LimitLocation::Remote, LimitLocation::RemoteWithLocalRejections]
        {
            for (optional, address) in [false, true].iter().flat_map(|o| LIMITS.map(|a| (*o, a))) {
                for (token, user) in TOKENS.iter().flat_map(|t| LIMITS.map(|u| (*t, u))) {
                    let fails = address == Limit::Fails || user == Limit::Fails;
                    if !(fails && location == LimitLocation::Memory) {
                        cases.push(Self { location, optional, address, token, user });
                    }
                }
            }
        }
        cases
    }

    /// The store calls in flight together, for each round trip of the one layer.
    fn trips(self) -> Vec<Vec<&'static str>> {
        let is_remote = |limit| match self.location {
            LimitLocation::Memory => false,
            LimitLocation::Remote => true,
            LimitLocation::RemoteWithLocalRejections => limit != Limit::Rejects,
        };
        let (address, user) = (is_remote(self.address), is_remote(self.user));
        if !address && self.address == Limit::Rejects {
            return vec![];
        }
        let mut first = Vec::from_iter(address.then_some("address"));
        match self.token {
            Token::Cached => first.extend(user.then_some("user")),
            token if token.is_cold() => first.push("session"),
            _ => {}
        }
        let is_live = matches!(self.token, Token::Alive | Token::Cookie);
        let continues = self.address == Limit::Allows && is_live;
        let second = Vec::from_iter((continues && user).then_some("user"));
        Vec::from_iter([first, second].into_iter().filter(|trip| !trip.is_empty()))
    }
}

/// The observable parts of a response, for clients and outer layers.
#[derive(Debug, PartialEq)]
struct Observed {
    status: u16,
    headers: Vec<(String, HeaderValue)>,
    body: String,
    denial: Option<String>,
}

impl From<TestResponse> for Observed {
    fn from(response: TestResponse) -> Self {
        let headers = response.head.headers();
        Self {
            status: response.status.as_u16(),
            headers: headers
                .iter()
                .map(|(name, value)| (name.to_string(), value.clone()))
                .collect(),
            denial: response.head.extensions().get::<Denial>().map(|denial| format!("{denial:?}")),
            body: response.body,
        }
    }
}

/// Marks which layer denied; cache headers are left to the layers.
fn denied_by(
    by: &'static str,
) -> impl Fn(&Denial, &Parts) -> Response<Bytes> + Send + Sync + 'static {
    move |denial, request| {
        let mut response = denial.problem().clone().for_request(request).into_response();
        response.headers_mut().insert("x-denied-by", HeaderValue::from_static(by));
        response.headers_mut().remove("cache-control");
        response
    }
}

type Layers = (LimitLayer, AuthenticateLayer, LimitLayer);

/// Sets a case up, with the remote stores paused.
async fn set_up(case: Case) -> (Layers, Request<Sent>, RemoteStores) {
    let (stores, remote) = RemoteStores::over(case.location);
    let test = TestGoat::build(stores, |builder| builder);
    let goat = &test.goat;
    let alice = test.sign_in("alice", []).await;
    if case.token == Token::Dead {
        let principal = goat.authenticate_token(alice.access_token()).await.unwrap();
        goat.logout(&principal, &Default::default()).await.unwrap();
    }
    let waits = if case.token == Token::Expired { 3600 } else { 10 };
    test.clock.advance(Duration::from_secs(waits));
    let user = alice.user.id;
    for (limit, key, name, quota) in [
        (case.address, LimitKey::address("address", [192, 0, 2, 7].into()), "address", ADDRESS),
        (case.user, LimitKey::user("user", user), "user", USER),
    ] {
        let spent = if limit == Limit::Rejects { quota.limit() } else { 1 };
        for _ in 0..spent {
            assert!(!goat.limits().acquire(name, key, quota).await.unwrap().is_limited());
        }
        if limit == Limit::Fails {
            remote.fail(name);
        }
    }
    if case.token == Token::Cached {
        goat.authenticate_token(alice.access_token()).await.unwrap();
    }
    if case.token == Token::Fails {
        remote.fail("session");
    }
    let request = match case.token {
        Token::Missing => request(None),
        Token::Cookie | Token::Foreign => {
            let site = if case.token == Token::Cookie { "same-origin" } else { "cross-site" };
            from_site(site, alice.access_token())
        }
        Token::Bad => with_header("authorization", "Bearer nonsense"),
        Token::Twice => {
            let mut request = request(Some(&alice));
            request.headers_mut().append("authorization", HeaderValue::from_static("Basic YTpi"));
            request
        }
        _ => request(Some(&alice)),
    };
    let authenticate = goat.authenticate().cookies(COOKIES).render_with(denied_by("authenticate"));
    let layers = (
        goat.limit(ADDRESS).by_address().render_with(denied_by("address")),
        if case.optional { authenticate.optional() } else { authenticate },
        goat.limit(USER).by_user().render_with(denied_by("user")),
    );
    remote.pause();
    (layers, request, remote)
}

/// Result of a case.
struct Outcome {
    seen: Observed,
    /// The store calls in order.
    calls: Vec<&'static str>,
    /// The store calls in flight together, per round trip.
    trips: Vec<Vec<&'static str>>,
}

/// Runs a case with the service built from its layers.
async fn run<S, R>(case: Case, service: impl FnOnce(Layers) -> S) -> Outcome
where
    S: Service<Request<Sent>, Response = Response<R>> + Clone,
    S::Error: std::fmt::Debug,
    R: Body<Error: std::fmt::Debug>,
{
    let (layers, request, remote) = set_up(case).await;
    let (mut response, trips) = remote.drive(send(&service(layers), request)).await;
    if let Some(user) = response.head.headers_mut().get_mut("x-user")
        && !user.is_empty()
    {
        // The only part that differs between goats.
        *user = HeaderValue::from_static("alice");
    }
    Outcome { seen: response.into(), calls: remote.calls(), trips }
}

async fn one_layer(case: Case) -> Outcome {
    run(case, |(before, authenticate, after)| authenticate.limited(before, after).layer(whoami()))
        .await
}

async fn three_layers(case: Case) -> Outcome {
    run(case, |(before, authenticate, after)| {
        ServiceBuilder::new().layer(before).layer(authenticate).layer(after).service(whoami())
    })
    .await
}

#[tokio::test]
async fn one_layer_responds_like_three_in_every_combination() {
    for case in Case::all() {
        assert_eq!(one_layer(case).await.seen, three_layers(case).await.seen, "{case:?}");
    }
}

#[tokio::test]
async fn calls_are_made_concurrently_where_possible() {
    for case in Case::all() {
        assert_eq!(one_layer(case).await.trips, case.trips(), "{case:?}");
    }
}

/// With local limits, the calls and their order equal the stack's. With remote limits, only calls
/// made while the first limit is pending, and then rejects or fails, are additional.
#[tokio::test]
async fn additional_calls_are_made_only_to_save_a_round_trip() {
    for case in Case::all() {
        let (mut one, three) = (one_layer(case).await.calls, three_layers(case).await.calls);
        let waits = case.location == LimitLocation::Remote && case.address == Limit::Rejects
            || case.address == Limit::Fails;
        let more = match case.token {
            Token::Cached if waits => Some("user"),
            token if waits && token.is_cold() => Some("session"),
            _ => None,
        };
        let mut expected: Vec<_> = three.into_iter().chain(more).collect();
        if case.location != LimitLocation::Memory {
            // Concurrent calls have no order.
            one.sort_unstable();
            expected.sort_unstable();
        }
        assert_eq!(one, expected, "{case:?}");
    }
}

/// The documented round trips of the stack and of the one layer.
#[tokio::test]
async fn a_stack_waits_sequentially_and_one_layer_concurrently() {
    let case = |token| Case {
        location: LimitLocation::Remote,
        optional: false,
        address: Limit::Allows,
        token,
        user: Limit::Allows,
    };
    for (token, status, three, one) in [
        (Token::Cached, 200, 2, 1),
        (Token::Alive, 200, 3, 2),
        (Token::Dead, 401, 2, 1),
        (Token::Bad, 401, 1, 1),
        (Token::Cookie, 200, 3, 2),
        (Token::Foreign, 403, 1, 1),
        (Token::Missing, 401, 1, 1),
    ] {
        let (three_layers, one_layer) =
            (three_layers(case(token)).await, one_layer(case(token)).await);
        assert_eq!(
            (three_layers.seen.status, one_layer.seen.status),
            (status, status),
            "{token:?}"
        );
        assert_eq!((three_layers.trips.len(), one_layer.trips.len()), (three, one), "{token:?}");
    }
}
