//! Every layer, against the promises.

use std::sync::Arc;
use std::time::Duration;

use goat_core::testing::{TestGoat, TestUser};
use goat_core::{Quota, Stores};
use goat_tower::address::{ClientAddress, ClientAddressLayer, TrustedProxies};
use goat_tower::{AuthenticateWithLimitsLayer, GoatExt};
use http::Request;
use tower::{Layer, Service, ServiceExt};

use super::{Case, Make, Store, broken};
use crate::support::stores::{Switch, switched};
use crate::support::{EXPORTS, REPORTS, Sent, request, send, whoami, with_header};

/// What limits write.
const LIMIT_HEADERS: &[&str] = &[
    "ratelimit-policy",
    "ratelimit",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
];
/// The same, and what answers credentials.
pub(super) const ADMIT_HEADERS: &[&str] = &[
    "cache-control",
    "ratelimit-policy",
    "ratelimit",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
];

/// A goat whose clock can be moved past its cache.
pub(super) struct World {
    pub(super) test: TestGoat,
    pub(super) switch: Switch,
    /// May everything that is asked for here, and the cache knows it.
    pub(super) alice: TestUser,
    /// May the same, and is somebody else.
    eve: TestUser,
    /// Is signed in, and may not.
    bob: TestUser,
    /// Has signed out, and shows the token all the same.
    pub(super) gone: TestUser,
}

pub(super) async fn world(limits_elsewhere: bool) -> World {
    let (mut stores, switch) = switched();
    if !limits_elsewhere {
        stores.limits = Stores::memory().limits;
    }
    let test = TestGoat::build(stores, |builder| builder);
    let alice = test.sign_in("alice", [REPORTS]).await;
    let eve = test.sign_in("eve", [REPORTS]).await;
    let bob = test.sign_in("bob", [EXPORTS]).await;
    let gone = test.sign_in("gone", [REPORTS]).await;
    let principal = test.goat.authenticate_token(gone.access_token()).await.expect("a principal");
    test.goat.logout(&principal, &Default::default()).await.expect("signed out");
    test.goat.authenticate_token(alice.access_token()).await.expect("a principal");
    World { test, switch, alice, eve, bob, gone }
}

/// How somebody shows who they are.
pub(super) type Show = fn(&TestUser) -> Request<Sent>;

fn bearer(user: &TestUser) -> Request<Sent> {
    request(Some(user))
}

impl World {
    /// Asked by whom the cache knows.
    pub(super) fn known(&self) -> Make {
        self.known_by(bearer)
    }

    pub(super) fn known_by(&self, show: Show) -> Make {
        let alice = self.alice.clone();
        Box::new(move || show(&alice))
    }

    /// Asked by somebody whom the cache does not know, any number of times: nothing is remembered for
    /// longer than the clock stands, and it moves each time.
    fn forgotten(&self, user: &TestUser, show: Show) -> Make {
        let (clock, user) = (self.test.clock.clone(), user.clone());
        Box::new(move || {
            clock.advance(Duration::from_secs(2));
            show(&user)
        })
    }

    fn store(&self, refused: &TestUser, always: bool) -> Option<Store> {
        self.store_by(bearer, refused, always)
    }

    pub(super) fn store_by(&self, show: Show, refused: &TestUser, always: bool) -> Option<Store> {
        Some(Store {
            switch: self.switch.clone(),
            asking: self.forgotten(&self.eve, show),
            refused: self.forgotten(refused, show),
            always,
        })
    }
}

fn stranger() -> Option<Make> {
    Some(Box::new(|| request(None)))
}

/// Makes the same request any number of times.
fn shared(make: impl Fn() -> Request<Sent> + 'static) -> impl Fn() -> Make {
    let make = Arc::new(make);
    move || {
        let make = Arc::clone(&make);
        Box::new(move || make())
    }
}

#[tokio::test]
async fn authentication_keeps_the_contract() {
    let world = world(false).await;
    let case = Case {
        layer: world.test.goat.authenticate(),
        allowed: world.known(),
        adds: &["cache-control"],
        refused: stranger(),
        store: world.store(&world.gone, false),
    };
    assert_eq!(broken(&case).await, []);
}

#[tokio::test]
async fn optional_authentication_keeps_the_contract_for_users_and_for_strangers() {
    let world = world(false).await;
    for (allowed, adds) in
        [(world.known(), &["cache-control"] as &[_]), (Box::new(|| request(None)) as _, &[])]
    {
        let case = Case {
            layer: world.test.goat.authenticate().optional(),
            allowed,
            adds,
            refused: Some(Box::new(|| with_header("authorization", "Bearer nonsense"))),
            store: world.store(&world.gone, false),
        };
        assert_eq!(broken(&case).await, []);
    }
}

#[tokio::test]
async fn a_requirement_keeps_the_contract() {
    // Refused by the store: who has signed out, and who may not.
    for who in ["gone", "bob"] {
        let world = world(false).await;
        let refused = if who == "gone" { &world.gone } else { &world.bob };
        let case = Case {
            layer: world.test.goat.require(REPORTS),
            allowed: world.known(),
            adds: &["cache-control"],
            refused: stranger(),
            store: world.store(refused, false),
        };
        assert_eq!(broken(&case).await, [], "{who}");
    }
}

#[tokio::test]
async fn a_requirement_behind_authentication_keeps_the_contract_and_adds_nothing() {
    let world = world(false).await;
    let principal = world.test.goat.authenticate_token(world.alice.access_token()).await;
    let principal = principal.expect("a principal");
    let bob = world.test.goat.authenticate_token(world.bob.access_token()).await;
    let bob = bob.expect("a principal");
    let of = |principal: goat_core::Principal| -> Make {
        Box::new(move || {
            let mut request = request(None);
            request.extensions_mut().insert(principal.clone());
            request
        })
    };
    let case = Case {
        layer: world.test.goat.require(REPORTS),
        allowed: of(principal),
        adds: &[],
        refused: Some(of(bob)),
        store: None,
    };
    assert_eq!(broken(&case).await, []);
}

#[tokio::test]
async fn a_fresh_requirement_keeps_the_contract_but_for_asking_each_time() {
    for who in ["gone", "bob"] {
        let world = world(false).await;
        let refused = if who == "gone" { &world.gone } else { &world.bob };
        let case = Case {
            layer: world.test.goat.require(REPORTS).fresh(),
            // The store in memory answers at the first poll, so even that is not waited for.
            allowed: world.known(),
            adds: &["cache-control"],
            refused: stranger(),
            store: world.store(refused, true),
        };
        assert_eq!(broken(&case).await, [], "{who}");
    }
}

#[tokio::test]
async fn a_limit_in_memory_keeps_the_contract() {
    let test = TestGoat::new();
    // Polled a thousand times in the checks and called few times: a limit that charges what is
    // polled is used up.
    let limit = test.goat.limit(Quota::per_minute(100)).by_address();
    let spent = ClientAddress::new([192, 0, 2, 99].into());
    let refused = move || {
        let mut request = request(None);
        request.extensions_mut().insert(spent);
        request
    };
    for _ in 0..100 {
        limit.layer(whoami()).oneshot(refused()).await.expect("an answer");
    }
    let case = Case {
        layer: limit,
        allowed: Box::new(|| request(None)),
        adds: LIMIT_HEADERS,
        refused: Some(Box::new(refused)),
        store: None,
    };
    assert_eq!(broken(&case).await, []);
}

#[tokio::test]
async fn a_limit_kept_elsewhere_keeps_the_contract() {
    let (stores, switch) = switched();
    let test = TestGoat::build(stores, |builder| builder);
    let limit = test.goat.limit(Quota::per_minute(100)).by_key(|request| {
        let spent = request.headers.contains_key("x-spent");
        Some(if spent { "spent" } else { "alice" }.into())
    });
    let refused = || with_header("x-spent", "1");
    for _ in 0..100 {
        limit.layer(whoami()).oneshot(refused()).await.expect("an answer");
    }
    let case = Case {
        layer: limit,
        allowed: Box::new(|| request(None)),
        adds: LIMIT_HEADERS,
        refused: None,
        store: Some(Store {
            switch,
            asking: Box::new(|| request(None)),
            refused: Box::new(refused),
            always: true,
        }),
    };
    assert_eq!(broken(&case).await, []);
}

/// Authentication between two limits of a hundred.
pub(super) fn admission(world: &World) -> AuthenticateWithLimitsLayer {
    let goat = &world.test.goat;
    let limit = goat.limit(Quota::per_minute(100));
    goat.authenticate().limited(limit.clone().by_address(), limit.by_user())
}

#[tokio::test]
async fn admission_keeps_the_contract_wherever_limits_are_and_whether_or_not_the_cache_knows() {
    for (elsewhere, is_known) in [(false, false), (true, false), (true, true)] {
        let world = world(elsewhere).await;
        let case = Case {
            layer: admission(&world),
            allowed: world.known(),
            adds: ADMIT_HEADERS,
            refused: if elsewhere { None } else { stranger() },
            store: Some(Store {
                switch: world.switch.clone(),
                asking: match is_known {
                    true => world.known(),
                    false => world.forgotten(&world.eve, bearer),
                },
                refused: match is_known {
                    true => Box::new(|| request(None)),
                    false => world.forgotten(&world.gone, bearer),
                },
                always: elsewhere,
            }),
        };
        assert_eq!(broken(&case).await, [], "{elsewhere} {is_known}");
    }
}

/// Refused by the one limit and by the other, with a token that does.
#[tokio::test]
async fn admission_that_a_limit_refuses_keeps_the_contract() {
    for (elsewhere, by_user) in [(false, false), (false, true), (true, false), (true, true)] {
        let world = world(elsewhere).await;
        let layer = admission(&world);
        let spent = ClientAddress::new([192, 0, 2, 99].into());
        // Bob has spent what he and an address have, and goes on from that address or from another.
        let from = |user: &TestUser, address| {
            let mut request = request(Some(user));
            request.extensions_mut().insert(address);
            request
        };
        let carol = world.test.sign_in("carol", []).await;
        for user in [&world.bob, &carol] {
            world.test.goat.authenticate_token(user.access_token()).await.expect("a principal");
        }
        for _ in 0..100 {
            layer.layer(whoami()).oneshot(from(&world.bob, spent)).await.expect("an answer");
        }
        let other = ClientAddress::new([192, 0, 2, 98].into());
        let bob = world.bob.clone();
        let refused = shared(move || if by_user { from(&bob, other) } else { from(&carol, spent) });
        assert_eq!(send(&layer.layer(whoami()), refused()()).await.status, 429);
        let case = Case {
            layer,
            allowed: world.known(),
            adds: ADMIT_HEADERS,
            refused: (!elsewhere).then(&refused),
            store: elsewhere.then(|| Store {
                switch: world.switch.clone(),
                asking: world.known(),
                refused: refused(),
                always: true,
            }),
        };
        assert_eq!(broken(&case).await, [], "{elsewhere} {by_user}");
    }
}

/// It refuses nobody.
#[tokio::test]
async fn the_clients_address_is_found_within_the_contract() {
    let proxies = TrustedProxies::parse(["10.0.0.0/8"]).expect("a range");
    let case = Case {
        layer: ClientAddressLayer::new().trust(proxies),
        allowed: Box::new(|| {
            let mut request = with_header("x-forwarded-for", "192.0.2.7");
            let peer = goat_tower::address::PeerAddress(([10, 0, 0, 1], 4711).into());
            request.extensions_mut().insert(peer);
            request
        }),
        adds: &[],
        refused: None,
        store: None,
    };
    assert_eq!(broken(&case).await, []);
}

#[test]
fn layers_services_and_futures_go_where_frameworks_want_them() {
    fn shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    fn sent<T: Send + 'static>(_: T) {}
    let goat = TestGoat::new().goat;
    let limit = goat.limit(Quota::per_minute(1)).by_address();
    let mut service = goat.authenticate().layer(limit.layer(goat.require(REPORTS).layer(whoami())));
    shared(&goat.authenticate());
    shared(&goat.require(REPORTS));
    shared(&limit);
    sent(service.call(request(None)));
    let admit = goat.authenticate().limited(limit.clone(), limit);
    sent(admit.layer(whoami()).call(request(None)));
    shared(&admit);
    shared(&ClientAddressLayer::new());
    sent(ClientAddressLayer::new().layer(whoami()).call(request(None)));
}
