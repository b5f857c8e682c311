//! Nodes that share stores and send invalidations to each other, and the checks that hold for every
//! pair of nodes.

use std::sync::Arc;
use std::time::Duration;

use goat_core::auth::{Login, SignedIn, TokenPair};
use goat_core::invalidation::Invalidations;
use goat_core::key::{CreatedKey, NewKey, Scopes};
use goat_core::session::{Origin, OtherSessions};
use goat_core::testing::{Failpoints, PlainHasher};
use goat_core::token::TokenKeys;
use goat_core::user::NewUser;
use goat_core::{
    Clock, Email, ErrorKind, Goat, Permission, Principal, Result, Settings, Status, Stores, User,
};

use crate::flows::support::{PASSWORD, system};

pub(crate) const REPORTS: Permission = Permission::new("report:read");
/// How long a test waits for an expected event.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What all nodes of a test share: stores, settings, clock and keys.
#[derive(Clone)]
pub(crate) struct Deployment {
    pub(crate) stores: Stores,
    pub(crate) staleness: Duration,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) keys: TokenKeys,
}

/// A node that records its calls to the stores.
pub(crate) struct Node {
    pub(crate) goat: Goat,
    pub(crate) failpoints: Failpoints,
}

impl Deployment {
    pub(crate) fn new(stores: Stores, staleness: Duration, clock: Arc<dyn Clock>) -> Self {
        Self { stores, staleness, clock, keys: TokenKeys::generate() }
    }

    /// A node that sends and receives invalidations over `invalidations`.
    pub(crate) fn node(&self, invalidations: Arc<dyn Invalidations>) -> Node {
        let (stores, failpoints) =
            Failpoints::over(Stores { invalidations, ..self.stores.clone() });
        let settings = Settings {
            account_quota: None,
            cache_staleness: self.staleness,
            self_attributes: vec!["plan".to_owned()],
            ..Settings::default()
        };
        let goat = Goat::builder(stores, self.keys.clone())
            .settings(settings)
            .clock(Arc::clone(&self.clock))
            .hasher(Arc::new(PlainHasher::default()))
            .build()
            .expect("good settings");
        Node { goat, failpoints }
    }
}

impl Node {
    pub(crate) async fn user(&self, name: &str) -> User {
        let new = NewUser {
            email: Email::parse(&format!("{name}@example.org")).expect("an address"),
            password: Some(PASSWORD.into()),
            role: self.goat.roles().get("client").expect("a role"),
            status: Status::Active,
        };
        self.goat.users().create(system(), new).await.expect("a user")
    }

    pub(crate) async fn sign_in(&self, name: &str) -> SignedIn {
        let login = Login {
            email: format!("{name}@example.org").into(),
            password: PASSWORD.into(),
            device_token: None,
            origin: Origin::default(),
        };
        self.goat.login(login).await.expect("a session").value
    }

    pub(crate) async fn signed_in_user(&self, name: &str) -> SignedIn {
        self.user(name).await;
        self.sign_in(name).await
    }

    pub(crate) async fn authenticate(&self, tokens: &TokenPair) -> Result<Principal> {
        self.goat.authenticate_token(tokens.access_token.expose()).await
    }

    pub(crate) async fn principal(&self, tokens: &TokenPair) -> Principal {
        self.authenticate(tokens).await.expect("a live session")
    }

    pub(crate) async fn key_principal(&self, key: &CreatedKey) -> Result<Principal> {
        self.goat.authenticate_token(key.secret.expose()).await
    }

    /// Authenticates until the key is in the node's cache.
    pub(crate) async fn warm_cache_of_key(&self, key: &CreatedKey) {
        let warming = async {
            loop {
                drop(self.failpoints.take_calls());
                self.key_principal(key).await.expect("a live key");
                if self.failpoints.take_calls().is_empty() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(TIMEOUT, warming).await.expect("the key is cached");
    }

    /// The error of an authentication, if it fails.
    pub(crate) async fn auth_error(&self, tokens: &TokenPair) -> Option<ErrorKind> {
        self.authenticate(tokens).await.err().map(|error| error.kind())
    }

    /// The store calls of one authentication.
    pub(crate) async fn calls(&self, tokens: &TokenPair) -> Vec<&'static str> {
        drop(self.failpoints.take_calls());
        drop(self.authenticate(tokens).await);
        self.failpoints.take_calls()
    }

    /// Authenticates until the session is in the node's cache.
    pub(crate) async fn warm_cache(&self, tokens: &TokenPair) {
        let warming = async {
            // The first read after a change of roles empties the cache, and on a busy machine a
            // heartbeat may be late.
            while !self.calls(tokens).await.is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(TIMEOUT, warming).await.expect("the session is cached");
        self.principal(tokens).await;
    }

    pub(crate) fn invalidations_received(&self) -> u64 {
        self.goat.sessions().invalidation_stats().received
    }

    /// Waits until the node has received more than `before` invalidations.
    pub(crate) async fn wait_for_invalidation_after(&self, before: u64) {
        wait_until("an invalidation arrives", || self.invalidations_received() > before).await;
    }

    pub(crate) async fn wait_until_connected(&self) {
        wait_until("the node is connected", || self.goat.sessions().invalidations_connected())
            .await;
    }

    pub(crate) async fn wait_until_disconnected(&self) {
        wait_until("the node is disconnected", || !self.goat.sessions().invalidations_connected())
            .await;
    }
}

pub(crate) async fn wait_until(condition: &str, holds: impl Fn() -> bool) {
    let poll = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, poll).await.unwrap_or_else(|_| panic!("timed out: {condition}"));
}

/// A change by one node after which every node must reject the session.
#[derive(Clone, Copy, Debug)]
enum Action {
    SignOut,
    Revoke,
    RevokeAll,
    Suspend,
    Password,
    Delete,
}

impl Action {
    const ALL: [Self; 6] =
        [Self::SignOut, Self::Revoke, Self::RevokeAll, Self::Suspend, Self::Password, Self::Delete];

    async fn apply(self, goat: &Goat, me: &Principal) {
        let (sessions, users) = (goat.sessions(), goat.users());
        match self {
            Self::SignOut => {
                goat.logout(me, &Origin::default()).await.expect("signed out");
            }
            Self::Revoke => {
                sessions.revoke(me, &[me.session().expect("a session")]).await.expect("ended");
            }
            Self::RevokeAll => {
                let others = OtherSessions::EndCurrentToo;
                sessions.revoke_all(me, others).await.expect("ended");
            }
            Self::Suspend => {
                let status = Status::Suspended;
                users.change_status(system(), me.user(), status).await.expect("suspended");
            }
            Self::Password => {
                let new = "seven lamps over the quay".into();
                users.reset_password(system(), me.user(), new).await.expect("reset");
            }
            Self::Delete => users.delete(system(), me.user()).await.expect("deleted"),
        }
    }
}

/// A change by one node after which every node must reject the key.
#[derive(Clone, Copy, Debug)]
enum KeyAction {
    Revoke,
    RevokeAll,
    Suspend,
    Delete,
}

impl KeyAction {
    const ALL: [Self; 4] = [Self::Revoke, Self::RevokeAll, Self::Suspend, Self::Delete];

    async fn apply(self, goat: &Goat, me: &Principal, key: &CreatedKey) {
        let (keys, users) = (goat.keys(), goat.users());
        match self {
            Self::Revoke => keys.revoke(me, key.key.id).await.expect("revoked"),
            Self::RevokeAll => drop(keys.revoke_all(system()).await.expect("revoked")),
            Self::Suspend => {
                let status = Status::Suspended;
                users.change_status(system(), me.user(), status).await.expect("suspended");
            }
            Self::Delete => users.delete(system(), me.user()).await.expect("deleted"),
        }
    }
}

/// Creates a key of a user that is signed in at a node.
async fn key_of(node: &Node, tokens: &TokenPair, scopes: Scopes) -> CreatedKey {
    let me = node.principal(tokens).await;
    let recent = node.goat.require_recent(&me).await.expect("it is recent");
    let new = NewKey { name: "a program".to_owned(), scopes, expires_in: None };
    node.goat.keys().create(recent, new).await.expect("a key")
}

/// K1: as [`changes_on_one_node_apply_on_the_other`], of API keys. The session epoch does not touch them.
async fn changes_apply_to_keys_on_the_other_node(a: &Node, b: &Node) {
    let rejected = |result: Result<Principal>| result.err().map(|error| error.kind());
    for (number, action) in KeyAction::ALL.into_iter().enumerate() {
        let tokens = a.signed_in_user(&format!("owner{number}")).await.tokens;
        let me = a.principal(&tokens).await;
        let key = key_of(a, &tokens, Scopes::Role).await;
        a.warm_cache_of_key(&key).await;
        b.warm_cache_of_key(&key).await;
        let before = b.invalidations_received();
        action.apply(&a.goat, &me, &key).await;
        let here = rejected(a.key_principal(&key).await);
        assert_eq!(here, Some(ErrorKind::InvalidToken), "{action:?} at once");
        b.wait_for_invalidation_after(before).await;
        let there = rejected(b.key_principal(&key).await);
        assert_eq!(there, Some(ErrorKind::InvalidToken), "{action:?}");
    }

    let tokens = a.signed_in_user("owner").await.tokens;
    let (user, reads) = (a.principal(&tokens).await.user(), Scopes::only([REPORTS]));
    let grant = a.goat.roles().grant(system(), "operator", REPORTS).await.expect("granted");
    let key = key_of(a, &tokens, Scopes::Role).await;
    let change_role = async |role: &str| {
        b.warm_cache_of_key(&key).await;
        let before = b.invalidations_received();
        let role = a.goat.roles().get(role).expect("a role");
        a.goat.users().change_role(system(), user, role).await.expect("changed");
        b.wait_for_invalidation_after(before).await;
        b.key_principal(&key).await.expect("the key lives")
    };
    assert!(change_role("operator").await.may(&REPORTS));
    let narrow = key_of(a, &tokens, reads.expect("a scope")).await;
    assert_eq!(b.key_principal(&narrow).await.expect("it lives").permissions(), [REPORTS]);
    let before = b.invalidations_received();
    let new = "seven lamps over the quay".into();
    a.goat.users().reset_password(system(), user, new).await.expect("reset");
    b.wait_for_invalidation_after(before).await;
    b.warm_cache_of_key(&narrow).await;
    let before = b.invalidations_received();
    a.goat.roles().revoke(system(), grant.id).await.expect("revoked");
    b.wait_for_invalidation_after(before).await;
    for key in [&key, &narrow] {
        assert!(!b.key_principal(key).await.expect("it lives").may(&REPORTS));
    }
    assert_eq!(change_role("client").await.permissions(), []);
}

/// A7, R1: a session that node `a` subscribers is rejected by node `b` once `b` has received the
/// invalidation, though the session is in its cache and not stale. Changes of roles and permissions
/// apply on both nodes.
pub(crate) async fn changes_on_one_node_apply_on_the_other(a: &Node, b: &Node) {
    a.wait_until_connected().await;
    b.wait_until_connected().await;
    changes_apply_to_keys_on_the_other_node(a, b).await;
    for (number, action) in Action::ALL.into_iter().enumerate() {
        let tokens = a.signed_in_user(&format!("user{number}")).await.tokens;
        let me = a.principal(&tokens).await;
        b.warm_cache(&tokens).await;
        let before = b.invalidations_received();
        action.apply(&a.goat, &me).await;
        assert_eq!(
            a.auth_error(&tokens).await,
            Some(ErrorKind::SessionRevoked),
            "{action:?} at once"
        );
        b.wait_for_invalidation_after(before).await;
        assert_eq!(b.auth_error(&tokens).await, Some(ErrorKind::SessionRevoked), "{action:?}");
    }

    let tokens = a.signed_in_user("ann").await.tokens;
    let user = a.principal(&tokens).await.user();
    b.warm_cache(&tokens).await;
    let before = b.invalidations_received();
    let operator = a.goat.roles().get("operator").expect("a role");
    a.goat.users().change_role(system(), user, operator).await.expect("changed");
    b.wait_for_invalidation_after(before).await;
    assert_eq!(b.principal(&tokens).await.role().as_str(), "operator");

    b.warm_cache(&tokens).await;
    let before = b.invalidations_received();
    let grant = a.goat.roles().grant(system(), "operator", REPORTS).await.expect("granted");
    b.wait_for_invalidation_after(before).await;
    assert!(b.principal(&tokens).await.may(&REPORTS));

    b.warm_cache(&tokens).await;
    let before = b.invalidations_received();
    a.goat.roles().revoke(system(), grant.id).await.expect("revoked");
    b.wait_for_invalidation_after(before).await;
    assert!(!b.principal(&tokens).await.may(&REPORTS));
    assert!(!b.goat.roles().list().await.expect("roles")[1].permissions.contains(&REPORTS));
}
