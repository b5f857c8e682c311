//! Every combination, answered by the one layer and by the three of them stacked.

use std::time::Duration;

use bytes::Bytes;
use goat_core::limit::LimitKey;
use goat_core::testing::TestGoat;
use goat_tower::{AuthenticateLayer, Denial, GoatExt, LimitLayer};
use http::request::Parts;
use http::{HeaderValue, Request, Response};
use http_body::Body;
use tower::{Layer, Service, ServiceBuilder};

use super::remote_stores::{ADDRESS, Kept, USER, Wire};
use crate::cookie::{COOKIES, from_site};
use crate::support::{Answer, Sent, request, send, whoami, with_header};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    Admits,
    Refuses,
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
    /// In a cookie, from another site's page.
    Foreign,
    Dead,
    Fails,
}

impl Token {
    /// Verifies, and is not in the cache.
    fn is_cold(self) -> bool {
        matches!(self, Self::Alive | Self::Cookie | Self::Dead | Self::Fails)
    }
}

const LIMITS: [Limit; 3] = [Limit::Admits, Limit::Refuses, Limit::Fails];
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
    kept: Kept,
    optional: bool,
    address: Limit,
    token: Token,
    user: Limit,
}

impl Case {
    fn all() -> Vec<Self> {
        let mut cases = Vec::new();
        for kept in [Kept::Memory, Kept::Elsewhere, Kept::Remembered] {
            for (optional, address) in [false, true].iter().flat_map(|o| LIMITS.map(|a| (*o, a))) {
                for (token, user) in TOKENS.iter().flat_map(|t| LIMITS.map(|u| (*t, u))) {
                    let fails = address == Limit::Fails || user == Limit::Fails;
                    if !(fails && kept == Kept::Memory) {
                        cases.push(Self { kept, optional, address, token, user });
                    }
                }
            }
        }
        cases
    }

    /// What the one layer has under way together, each time that it waits.
    fn trips(self) -> Vec<Vec<&'static str>> {
        let over_wire = |limit| match self.kept {
            Kept::Memory => false,
            Kept::Elsewhere => true,
            Kept::Remembered => limit != Limit::Refuses,
        };
        let (address, user) = (over_wire(self.address), over_wire(self.user));
        if !address && self.address == Limit::Refuses {
            return vec![];
        }
        let mut first = Vec::from_iter(address.then_some("address"));
        match self.token {
            Token::Cached => first.extend(user.then_some("user")),
            token if token.is_cold() => first.push("session"),
            _ => {}
        }
        let lives = matches!(self.token, Token::Alive | Token::Cookie);
        let goes_on = self.address == Limit::Admits && lives;
        let second = Vec::from_iter((goes_on && user).then_some("user"));
        Vec::from_iter([first, second].into_iter().filter(|trip| !trip.is_empty()))
    }
}

/// All that a client and the layers further out can see of an answer.
#[derive(Debug, PartialEq)]
struct Seen {
    status: u16,
    headers: Vec<(String, HeaderValue)>,
    body: String,
    denial: Option<String>,
}

impl From<Answer> for Seen {
    fn from(answer: Answer) -> Self {
        let headers = answer.response.headers();
        Self {
            status: answer.status.as_u16(),
            headers: headers
                .iter()
                .map(|(name, value)| (name.to_string(), value.clone()))
                .collect(),
            denial: answer
                .response
                .extensions()
                .get::<Denial>()
                .map(|denial| format!("{denial:?}")),
            body: answer.body,
        }
    }
}

/// Whose denial it is stands in the answer; what caches are told is left to the layers.
fn signed(by: &'static str) -> impl Fn(&Denial, &Parts) -> Response<Bytes> + Send + Sync + 'static {
    move |denial, request| {
        let mut response = denial.problem().clone().for_request(request).into_response();
        response.headers_mut().insert("x-denied-by", HeaderValue::from_static(by));
        response.headers_mut().remove("cache-control");
        response
    }
}

type Layers = (LimitLayer, AuthenticateLayer, LimitLayer);

/// A case, with all set up and the wire closed.
async fn scene(case: Case) -> (Layers, Request<Sent>, Wire) {
    let (stores, wire) = Wire::over(case.kept);
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
        let spent = if limit == Limit::Refuses { quota.limit() } else { 1 };
        for _ in 0..spent {
            assert!(!goat.limits().acquire(name, key, quota).await.unwrap().is_limited());
        }
        if limit == Limit::Fails {
            wire.fail(name);
        }
    }
    if case.token == Token::Cached {
        goat.authenticate_token(alice.access_token()).await.unwrap();
    }
    if case.token == Token::Fails {
        wire.fail("session");
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
    let authenticate = goat.authenticate().cookies(COOKIES).render_with(signed("authenticate"));
    let layers = (
        goat.limit(ADDRESS).by_address().render_with(signed("address")),
        if case.optional { authenticate.optional() } else { authenticate },
        goat.limit(USER).by_user().render_with(signed("user")),
    );
    wire.close();
    (layers, request, wire)
}

/// What came of a case.
struct Played {
    seen: Seen,
    /// What was asked, in its order.
    asked: Vec<&'static str>,
    /// What was under way together, each time that it waited.
    trips: Vec<Vec<&'static str>>,
}

/// Plays a case before the service that is made of its layers.
async fn play<S, R>(case: Case, service: impl FnOnce(Layers) -> S) -> Played
where
    S: Service<Request<Sent>, Response = Response<R>> + Clone,
    S::Error: std::fmt::Debug,
    R: Body<Error: std::fmt::Debug>,
{
    let (layers, request, wire) = scene(case).await;
    let (mut answer, trips) = wire.drive(send(&service(layers), request)).await;
    if let Some(user) = answer.response.headers_mut().get_mut("x-user")
        && !user.is_empty()
    {
        // The one thing in an answer that differs from goat to goat.
        *user = HeaderValue::from_static("alice");
    }
    Played { seen: answer.into(), asked: wire.asked(), trips }
}

async fn admitted(case: Case) -> Played {
    play(case, |(before, who, after)| who.limited(before, after).layer(whoami())).await
}

async fn stacked(case: Case) -> Played {
    play(case, |(before, who, after)| {
        ServiceBuilder::new().layer(before).layer(who).layer(after).service(whoami())
    })
    .await
}

#[tokio::test]
async fn one_layer_answers_what_three_answer_whatever_is_wrong() {
    for case in Case::all() {
        assert_eq!(admitted(case).await.seen, stacked(case).await.seen, "{case:?}");
    }
}

#[tokio::test]
async fn as_much_as_can_be_is_under_way_together() {
    for case in Case::all() {
        assert_eq!(admitted(case).await.trips, case.trips(), "{case:?}");
    }
}

/// In memory nothing is asked that the stack would not ask, and in the same order; elsewhere only
/// what is asked while the first limit thinks and then refuses or fails.
#[tokio::test]
async fn nothing_is_asked_that_does_not_count_unless_it_saves_a_trip() {
    for case in Case::all() {
        let (mut one, three) = (admitted(case).await.asked, stacked(case).await.asked);
        let waits = case.kept == Kept::Elsewhere && case.address == Limit::Refuses
            || case.address == Limit::Fails;
        let more = match case.token {
            Token::Cached if waits => Some("user"),
            token if waits && token.is_cold() => Some("session"),
            _ => None,
        };
        let mut expected: Vec<_> = three.into_iter().chain(more).collect();
        if case.kept != Kept::Memory {
            // What is asked together has no order.
            one.sort_unstable();
            expected.sort_unstable();
        }
        assert_eq!(one, expected, "{case:?}");
    }
}

/// The figures that are promised: what the layers cost that are stacked, and what this one costs.
#[tokio::test]
async fn a_stack_waits_for_one_answer_after_the_other_and_one_layer_does_not() {
    let case = |token| Case {
        kept: Kept::Elsewhere,
        optional: false,
        address: Limit::Admits,
        token,
        user: Limit::Admits,
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
        let (stacked, admitted) = (stacked(case(token)).await, admitted(case(token)).await);
        assert_eq!((stacked.seen.status, admitted.seen.status), (status, status), "{token:?}");
        assert_eq!((stacked.trips.len(), admitted.trips.len()), (three, one), "{token:?}");
    }
}
