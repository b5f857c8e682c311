//! Profiles are cached with the validation of the session: never from before a change that this node has
//! completed, never from before the issue of the request's token, and otherwise as old as the staleness
//! allows.
//!
//! The nodes of these tests receive no invalidations of one another.

use std::sync::Arc;
use std::time::Duration;

use goat_core::access::RoleRows;
use goat_core::auth::TokenPair;
use goat_core::invalidation::LocalInvalidations;
use goat_core::session::Origin;
use goat_core::testing::{ManualClock, Point};
use goat_core::user::{AttributePatch, UserState, UserUpdate};
use goat_core::{Email, Principal, Stores, UserId};
use serde_json::json;

use crate::delegating_stores::{StubCache, with_stub_caches};
use crate::flows::support::{PASSWORD, system};
use crate::invalidations::support::{Deployment, Node, REPORTS};

const STALENESS: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

/// A change of a profile that ends no session.
#[derive(Clone, Copy, Debug)]
enum Change {
    OwnEmail,
    Email,
    Role,
    Permission,
    Login,
    OwnAttributes,
    Attributes,
}

impl Change {
    const ALL: [Self; 7] = [
        Self::OwnEmail,
        Self::Email,
        Self::Role,
        Self::Permission,
        Self::Login,
        Self::OwnAttributes,
        Self::Attributes,
    ];

    async fn apply(self, node: &Node, me: &Principal) {
        let users = node.goat.users();
        let email = Email::parse("new@example.org").expect("an address");
        match self {
            Self::OwnEmail => {
                let origin = Origin::default();
                users.change_email(me, email, PASSWORD, &origin).await.expect("changed");
            }
            Self::Email => {
                let update = UserUpdate { email: Some(email), password: None };
                users.update(system(), me.user(), update).await.expect("changed");
            }
            Self::Role => {
                let operator = node.goat.roles().get("operator").expect("a role");
                users.change_role(system(), me.user(), operator).await.expect("changed");
            }
            Self::Permission => {
                node.goat.roles().grant(system(), "client", REPORTS).await.expect("granted");
            }
            Self::Login => drop(node.sign_in("ann").await),
            Self::OwnAttributes => {
                users.change_own_attributes(me, plan()).await.expect("changed");
            }
            Self::Attributes => {
                users.change_attributes(system(), me.user(), plan()).await.expect("changed");
            }
        }
    }

    fn shows(self, before: &Principal, after: &Principal) -> bool {
        let (old, new) = (before.profile(), after.profile());
        match self {
            Self::OwnEmail | Self::Email => new.email.as_str() == "new@example.org",
            Self::Role => new.role.as_str() == "operator" && after.role() == &new.role,
            Self::Permission => after.permissions() == [REPORTS] && after.may(&REPORTS),
            Self::Login => new.last_login_at > old.last_login_at,
            Self::OwnAttributes | Self::Attributes => {
                new.attributes.text("plan").as_deref() == Some("pro")
            }
        }
    }
}

fn plan() -> AttributePatch {
    AttributePatch::parse(json!({ "plan": "pro" })).expect("a patch")
}

/// Two nodes, and the session of a user, which both have cached.
struct Fixture {
    clock: ManualClock,
    users: StubCache<Option<UserState>>,
    roles: StubCache<RoleRows>,
    stores: Stores,
    one: Node,
    other: Node,
    tokens: TokenPair,
    me: Principal,
}

impl Fixture {
    async fn new() -> Self {
        let clock = ManualClock::default();
        clock.advance(STALENESS * 100);
        let (users, roles) = (StubCache::new(clock.clone()), StubCache::new(clock.clone()));
        let stores = with_stub_caches(&Stores::memory(), users.clone(), roles.clone());
        let deployment = Deployment::new(stores.clone(), STALENESS, Arc::new(clock.clone()));
        let node = || deployment.node(Arc::new(LocalInvalidations::default()));
        let (one, other) = (node(), node());
        let tokens = one.signed_in_user("ann").await.tokens;
        clock.advance(STALENESS);
        let me = one.principal(&tokens).await;
        for node in [&one, &other] {
            node.principal(&tokens).await;
            assert!(node.calls(&tokens).await.is_empty(), "the session is cached");
        }
        Self { clock, users, roles, stores, one, other, tokens, me }
    }

    async fn state(&self, user: UserId) -> Option<UserState> {
        self.stores.users.state(user).await.expect("a store")
    }
}

#[tokio::test]
async fn a_change_shows_in_the_next_profile_of_its_node() {
    for change in Change::ALL {
        let Fixture { one, tokens, me, .. } = Fixture::new().await;
        change.apply(&one, &me).await;
        assert!(change.shows(&me, &one.principal(&tokens).await), "{change:?}");
        // The first read of a newer role table empties the cache.
        one.principal(&tokens).await;
        assert!(one.calls(&tokens).await.is_empty(), "{change:?}: cached again");
        assert!(change.shows(&me, &one.principal(&tokens).await), "{change:?}");
    }
}

/// A7: and no later, though no invalidation arrives.
#[tokio::test]
async fn a_change_shows_on_another_node_within_the_staleness() {
    for change in Change::ALL {
        let Fixture { clock, one, other, tokens, me, .. } = Fixture::new().await;
        change.apply(&one, &me).await;
        clock.advance(STALENESS - MILLISECOND);
        assert!(!change.shows(&me, &other.principal(&tokens).await), "{change:?}: cached");
        clock.advance(MILLISECOND);
        assert!(change.shows(&me, &other.principal(&tokens).await), "{change:?}");
    }
}

/// Also if the caches have an earlier state: those of the node, and the one that the nodes share.
#[tokio::test]
async fn a_token_issued_after_a_change_shows_it_on_every_node() {
    for change in Change::ALL {
        for shares_old_values in [false, true] {
            let fixture = Fixture::new().await;
            let Fixture { one, other, tokens, me, .. } = &fixture;
            if shares_old_values {
                fixture.users.set(fixture.state(me.user()).await, Duration::ZERO);
                let rows = fixture.stores.roles.load().await.expect("rows");
                fixture.roles.set(rows, Duration::ZERO);
                fixture.clock.advance(MILLISECOND);
            }
            change.apply(one, me).await;
            assert!(!change.shows(me, &other.principal(tokens).await), "{change:?}: cached");
            let origin = Origin::default();
            let refreshed = one.goat.refresh(&tokens.refresh_token, &origin).await;
            let new = refreshed.expect("refreshed").tokens;
            assert!(change.shows(me, &other.principal(&new).await), "{change:?}");
            assert!(change.shows(me, &other.principal(tokens).await), "{change:?}: replaced");
            assert!(other.calls(&new).await.is_empty(), "{change:?}: cached again");
        }
    }
}

/// The tokens of a new session show its own login, and those of a changed password the change.
#[tokio::test]
async fn tokens_show_the_change_that_issued_them_on_every_node() {
    let fixture = Fixture::new().await;
    let Fixture { one, other, me, .. } = &fixture;
    let before = fixture.state(me.user()).await;
    fixture.clock.advance(MILLISECOND);
    let session = one.sign_in("ann").await;
    fixture.users.set(before, MILLISECOND);
    let seen = other.principal(&session.tokens).await;
    assert_eq!(seen.profile().last_login_at, session.user.last_login_at);

    let before = fixture.state(me.user()).await.expect("the user");
    fixture.clock.advance(MILLISECOND);
    let new = "seven lamps over the quay".into();
    let seen = one.principal(&session.tokens).await;
    let changed = one.goat.users().change_password(&seen, PASSWORD, &new, &Origin::default()).await;
    let changed = changed.expect("changed").value;
    let updated_at = before.user.updated_at;
    fixture.users.set(Some(before), MILLISECOND);
    assert!(other.principal(&changed.tokens).await.profile().updated_at > updated_at);
}

/// A change between a read and the fill of the cache voids the fill token.
#[tokio::test]
async fn a_read_from_before_a_change_is_not_cached() {
    for change in Change::ALL {
        for call in ["sessions.find", "users.cached_state"] {
            let Fixture { clock, one, tokens, me, .. } = Fixture::new().await;
            clock.advance(STALENESS);
            let held = one.failpoints.hold(call, Point::Return);
            let token = tokens.access_token.expose().clone();
            let reading = tokio::spawn({
                let goat = one.goat.clone();
                async move { goat.authenticate_token(&token).await }
            });
            held.reached().await;
            change.apply(&one, &me).await;
            held.release();
            reading.await.expect("no panic").expect("a live session");
            assert!(change.shows(&me, &one.principal(&tokens).await), "{change:?} {call}");
        }
    }
}

/// The change is committed, but the client lost the response and repeats it: the repetition changes
/// nothing, and shows.
#[tokio::test]
async fn a_repeated_change_shows_in_the_next_profile() {
    for change in
        [Change::OwnEmail, Change::Email, Change::Role, Change::OwnAttributes, Change::Attributes]
    {
        let Fixture { one, other, tokens, me, .. } = Fixture::new().await;
        // By a node that ended before it invalidated anything.
        change.apply(&other, &me).await;
        assert!(!change.shows(&me, &one.principal(&tokens).await), "{change:?}: cached");
        change.apply(&one, &me).await;
        assert!(change.shows(&me, &one.principal(&tokens).await), "{change:?}");
    }
}
