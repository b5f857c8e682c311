//! The contract for every layer.

use std::sync::Arc;
use std::time::Duration;

use goat_core::testing::{TestGoat, TestUser};
use goat_core::{Quota, Stores};
use goat_tower::address::{ClientAddress, ClientAddressLayer, TrustedProxies};
use goat_tower::{AuthenticateWithLimitsLayer, GoatExt};
use http::Request;
use tower::{Layer, Service, ServiceExt};

use super::{Case, Make, Store, broken_promises};
use crate::support::stores::{Switch, switched};
use crate::support::{EXPORTS, REPORTS, Sent, request, send, whoami, with_header};

/// Headers that limits add.
const LIMIT_HEADERS: &[&str] = &["ratelimit-policy", "ratelimit"];
/// The same, and the header of responses to credentials.
pub(super) const WITH_LIMITS_HEADERS: &[&str] = &["cache-control", "ratelimit-policy", "ratelimit"];

/// A goat with a manual clock, which can expire the cache.
pub(super) struct World {
    pub(super) test: TestGoat,
    pub(super) switch: Switch,
    /// Authorized and cached.
    pub(super) alice: TestUser,
    /// Authorized, not cached.
    eve: TestUser,
    /// Authenticated but not authorized.
    bob: TestUser,
    /// Signed out, but still sends the token.
    pub(super) gone: TestUser,
}

pub(super) async fn world(remote_limits: bool) -> World {
    let (mut stores, switch) = switched();
    if !remote_limits {
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

/// Adds a user's credentials to a request.
pub(super) type AddCredentials = fn(&TestUser) -> Request<Sent>;

fn bearer(user: &TestUser) -> Request<Sent> {
    request(Some(user))
}

impl World {
    /// Requests of a cached user.
    pub(super) fn cached(&self) -> Make {
        self.cached_with(bearer)
    }

    pub(super) fn cached_with(&self, add_credentials: AddCredentials) -> Make {
        let alice = self.alice.clone();
        Box::new(move || add_credentials(&alice))
    }

    /// Requests of a user user is not cached, any number of times: each advances the clock past the
    /// cache's staleness.
    fn uncached(&self, user: &TestUser, add_credentials: AddCredentials) -> Make {
        let (clock, user) = (self.test.clock.clone(), user.clone());
        Box::new(move || {
            clock.advance(Duration::from_secs(2));
            add_credentials(&user)
        })
    }

    fn store(&self, rejected: &TestUser, always: bool) -> Option<Store> {
        self.store_by(bearer, rejected, always)
    }

    pub(super) fn store_by(
        &self,
        add_credentials: AddCredentials,
        rejected: &TestUser,
        always: bool,
    ) -> Option<Store> {
        Some(Store {
            switch: self.switch.clone(),
            via_store: self.uncached(&self.eve, add_credentials),
            rejected: self.uncached(rejected, add_credentials),
            always,
        })
    }
}

fn anonymous() -> Option<Make> {
    Some(Box::new(|| request(None)))
}

/// Creates the same request any number of times.
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
        allowed: world.cached(),
        adds: &["cache-control"],
        rejected: anonymous(),
        store: world.store(&world.gone, false),
    };
    assert_eq!(broken_promises(&case).await, []);
}

#[tokio::test]
async fn optional_authentication_keeps_the_contract_for_users_and_anonymous_requests() {
    let world = world(false).await;
    for (allowed, adds) in
        [(world.cached(), &["cache-control"] as &[_]), (Box::new(|| request(None)) as _, &[])]
    {
        let case = Case {
            layer: world.test.goat.authenticate().optional(),
            allowed,
            adds,
            rejected: Some(Box::new(|| with_header("authorization", "Bearer nonsense"))),
            store: world.store(&world.gone, false),
        };
        assert_eq!(broken_promises(&case).await, []);
    }
}

#[tokio::test]
async fn a_requirement_keeps_the_contract() {
    // Rejected after a store call: signed out, or forbidden.
    for user in ["gone", "bob"] {
        let world = world(false).await;
        let rejected = if user == "gone" { &world.gone } else { &world.bob };
        let case = Case {
            layer: world.test.goat.require(REPORTS),
            allowed: world.cached(),
            adds: &["cache-control"],
            rejected: anonymous(),
            store: world.store(rejected, false),
        };
        assert_eq!(broken_promises(&case).await, [], "{user}");
    }
}

#[tokio::test]
async fn a_requirement_behind_authentication_keeps_the_contract_and_adds_no_header() {
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
        rejected: Some(of(bob)),
        store: None,
    };
    assert_eq!(broken_promises(&case).await, []);
}

#[tokio::test]
async fn a_fresh_requirement_keeps_the_contract_with_a_store_call_each_time() {
    for user in ["gone", "bob"] {
        let world = world(false).await;
        let rejected = if user == "gone" { &world.gone } else { &world.bob };
        let case = Case {
            layer: world.test.goat.require(REPORTS).fresh(),
            // The in-memory store responds at the first poll, so the request does not wait.
            allowed: world.cached(),
            adds: &["cache-control"],
            rejected: anonymous(),
            store: world.store(rejected, true),
        };
        assert_eq!(broken_promises(&case).await, [], "{user}");
    }
}

#[tokio::test]
async fn a_limit_in_memory_keeps_the_contract() {
    let test = TestGoat::new();
    // The checks poll a thousand times and call rarely, so a limit that charges on polling would be
    // exhausted.
    let limit = test.goat.limit(Quota::per_minute(100)).by_address();
    let spent = ClientAddress::new([192, 0, 2, 99].into());
    let rejected = move || {
        let mut request = request(None);
        request.extensions_mut().insert(spent);
        request
    };
    for _ in 0..100 {
        limit.layer(whoami()).oneshot(rejected()).await.expect("a response");
    }
    let case = Case {
        layer: limit,
        allowed: Box::new(|| request(None)),
        adds: LIMIT_HEADERS,
        rejected: Some(Box::new(rejected)),
        store: None,
    };
    assert_eq!(broken_promises(&case).await, []);
}

#[tokio::test]
async fn a_remote_limit_keeps_the_contract() {
    let (stores, switch) = switched();
    let test = TestGoat::build(stores, |builder| builder);
    let limit = test.goat.limit(Quota::per_minute(100)).by_custom_key(|request| {
        let spent = request.headers.contains_key("x-spent");
        Some(if spent { "spent" } else { "alice" }.into())
    });
    let rejected = || with_header("x-spent", "1");
    for _ in 0..100 {
        limit.layer(whoami()).oneshot(rejected()).await.expect("a response");
    }
    let case = Case {
        layer: limit,
        allowed: Box::new(|| request(None)),
        adds: LIMIT_HEADERS,
        rejected: None,
        store: Some(Store {
            switch,
            via_store: Box::new(|| request(None)),
            rejected: Box::new(rejected),
            always: true,
        }),
    };
    assert_eq!(broken_promises(&case).await, []);
}

/// Authentication between two limits of a hundred.
pub(super) fn with_limits(world: &World) -> AuthenticateWithLimitsLayer {
    let goat = &world.test.goat;
    let limit = goat.limit(Quota::per_minute(100));
    goat.authenticate().limited(limit.clone().by_address(), limit.by_user())
}

#[tokio::test]
async fn authentication_with_limits_keeps_the_contract_for_local_and_remote_limits() {
    for (remote, is_cached) in [(false, false), (true, false), (true, true)] {
        let world = world(remote).await;
        let case = Case {
            layer: with_limits(&world),
            allowed: world.cached(),
            adds: WITH_LIMITS_HEADERS,
            rejected: if remote { None } else { anonymous() },
            store: Some(Store {
                switch: world.switch.clone(),
                via_store: match is_cached {
                    true => world.cached(),
                    false => world.uncached(&world.eve, bearer),
                },
                rejected: match is_cached {
                    true => Box::new(|| request(None)),
                    false => world.uncached(&world.gone, bearer),
                },
                always: remote,
            }),
        };
        assert_eq!(broken_promises(&case).await, [], "{remote} {is_cached}");
    }
}

/// Rejected by either limit, with a valid token.
#[tokio::test]
async fn authentication_with_an_exhausted_limit_keeps_the_contract() {
    for (remote, by_user) in [(false, false), (false, true), (true, false), (true, true)] {
        let world = world(remote).await;
        let layer = with_limits(&world);
        let spent = ClientAddress::new([192, 0, 2, 99].into());
        // Bob has exhausted his own and an address's quota, and continues from that address or
        // another.
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
            layer.layer(whoami()).oneshot(from(&world.bob, spent)).await.expect("a response");
        }
        let other = ClientAddress::new([192, 0, 2, 98].into());
        let bob = world.bob.clone();
        let rejected =
            shared(move || if by_user { from(&bob, other) } else { from(&carol, spent) });
        assert_eq!(send(&layer.layer(whoami()), rejected()()).await.status, 429);
        let case = Case {
            layer,
            allowed: world.cached(),
            adds: WITH_LIMITS_HEADERS,
            rejected: (!remote).then(&rejected),
            store: remote.then(|| Store {
                switch: world.switch.clone(),
                via_store: world.cached(),
                rejected: rejected(),
                always: true,
            }),
        };
        assert_eq!(broken_promises(&case).await, [], "{remote} {by_user}");
    }
}

/// This layer never rejects.
#[tokio::test]
async fn the_client_address_layer_keeps_the_contract() {
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
        rejected: None,
        store: None,
    };
    assert_eq!(broken_promises(&case).await, []);
}

#[test]
fn layers_services_and_futures_are_send_and_static() {
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
