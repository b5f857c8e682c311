//! Nodes that share stores and are joined by notices, and what every pair of them must do.

use std::sync::Arc;
use std::time::Duration;

use goat_core::auth::{Login, SignedIn, TokenPair};
use goat_core::invalidation::Invalidations;
use goat_core::session::{Origin, OtherSessions};
use goat_core::testing::{Pauses, PlainHasher};
use goat_core::token::TokenKeys;
use goat_core::user::NewUser;
use goat_core::{
    Actor, Clock, Email, ErrorKind, Goat, Permission, Principal, Result, Settings, Status, Stores,
    User,
};

pub(crate) const PASSWORD: &str = "a long walk on a short pier";
pub(crate) const REPORTS: Permission = Permission::new("report:read");
/// How long anything that must come is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn system() -> Actor {
    Actor::system("a test")
}

/// What all nodes of a test have in common.
#[derive(Clone)]
pub(crate) struct Common {
    pub(crate) stores: Stores,
    pub(crate) staleness: Duration,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) keys: TokenKeys,
}

/// A goat whose calls to the stores are counted.
pub(crate) struct Node {
    pub(crate) goat: Goat,
    pub(crate) pauses: Pauses,
}

impl Common {
    pub(crate) fn new(stores: Stores, staleness: Duration, clock: Arc<dyn Clock>) -> Self {
        Self { stores, staleness, clock, keys: TokenKeys::generate() }
    }

    /// A node that hears and tells by these notices.
    pub(crate) fn node(&self, invalidations: Arc<dyn Invalidations>) -> Node {
        let (stores, pauses) = Pauses::over(Stores { invalidations, ..self.stores.clone() });
        let settings = Settings {
            account_quota: None,
            cache_staleness: self.staleness,
            ..Settings::default()
        };
        let goat = Goat::builder(stores, self.keys.clone())
            .settings(settings)
            .clock(Arc::clone(&self.clock))
            .hasher(Arc::new(PlainHasher::default()))
            .build()
            .expect("good settings");
        Node { goat, pauses }
    }
}

impl Node {
    pub(crate) async fn user(&self, name: &str) -> User {
        let new = NewUser {
            email: Email::parse(&format!("{name}@example.org")).expect("an address"),
            password: PASSWORD.into(),
            role: self.goat.roles().get("client").expect("a role"),
            status: Status::Active,
        };
        self.goat.users().create(system(), new).await.expect("a user")
    }

    pub(crate) async fn sign_in(&self, name: &str) -> SignedIn {
        let login = Login {
            email: format!("{name}@example.org").into(),
            password: PASSWORD.into(),
            origin: Origin::default(),
        };
        self.goat.login(login).await.expect("a session").value
    }

    pub(crate) async fn member(&self, name: &str) -> SignedIn {
        self.user(name).await;
        self.sign_in(name).await
    }

    pub(crate) async fn authenticate(&self, tokens: &TokenPair) -> Result<Principal> {
        self.goat.authenticate_token(tokens.access_token.expose()).await
    }

    pub(crate) async fn principal(&self, tokens: &TokenPair) -> Principal {
        self.authenticate(tokens).await.expect("a live session")
    }

    /// What a session is refused for, if it is.
    pub(crate) async fn refusal(&self, tokens: &TokenPair) -> Option<ErrorKind> {
        self.authenticate(tokens).await.err().map(|error| error.kind())
    }

    /// The calls that an authentication makes.
    pub(crate) async fn calls(&self, tokens: &TokenPair) -> Vec<&'static str> {
        drop(self.pauses.take_calls());
        drop(self.authenticate(tokens).await);
        self.pauses.take_calls()
    }

    /// Lets the node learn of a session, until it answers for it by itself.
    pub(crate) async fn learn(&self, tokens: &TokenPair) {
        self.principal(tokens).await;
        // The first read after a change of roles forgets what it has just learnt.
        self.principal(tokens).await;
        assert!(self.calls(tokens).await.is_empty(), "it remembers");
    }

    pub(crate) fn heard(&self) -> u64 {
        self.goat.sessions().invalidation_stats().received
    }

    /// Waits until the node has heard of more than so much.
    pub(crate) async fn hears_more_than(&self, before: u64) {
        until("an invalidation arrives", || self.heard() > before).await;
    }

    pub(crate) async fn hears(&self) {
        until("the node hears", || self.goat.sessions().invalidations_connected()).await;
    }

    pub(crate) async fn is_deaf(&self) {
        until("the node is deaf", || !self.goat.sessions().invalidations_connected()).await;
    }
}

pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let come = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, come).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// What one node may do to a user's session, after which all must refuse it.
#[derive(Clone, Copy, Debug)]
enum Act {
    SignOut,
    Revoke,
    RevokeAll,
    Suspend,
    Password,
    Delete,
}

impl Act {
    const ALL: [Self; 6] =
        [Self::SignOut, Self::Revoke, Self::RevokeAll, Self::Suspend, Self::Password, Self::Delete];

    async fn happen(self, goat: &Goat, me: &Principal) {
        let (sessions, users) = (goat.sessions(), goat.users());
        match self {
            Self::SignOut => {
                goat.logout(me, &Origin::default()).await.expect("signed out");
            }
            Self::Revoke => {
                sessions.revoke(me, &[me.session()]).await.expect("ended");
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

/// A7, R1: what node `a` ends, node `b` refuses once it has heard of it, though it remembered the
/// session a moment before and nothing that it remembers has become stale; and what roles and users
/// may do is the same on both.
pub(crate) async fn what_one_node_does_the_other_obeys(a: &Node, b: &Node) {
    a.hears().await;
    b.hears().await;
    for (number, act) in Act::ALL.into_iter().enumerate() {
        let tokens = a.member(&format!("user{number}")).await.tokens;
        let me = a.principal(&tokens).await;
        b.learn(&tokens).await;
        let before = b.heard();
        act.happen(&a.goat, &me).await;
        assert_eq!(a.refusal(&tokens).await, Some(ErrorKind::SessionRevoked), "{act:?} at once");
        b.hears_more_than(before).await;
        assert_eq!(b.refusal(&tokens).await, Some(ErrorKind::SessionRevoked), "{act:?}");
    }

    let tokens = a.member("ann").await.tokens;
    let user = a.principal(&tokens).await.user();
    b.learn(&tokens).await;
    let before = b.heard();
    let operator = a.goat.roles().get("operator").expect("a role");
    a.goat.users().change_role(system(), user, operator).await.expect("changed");
    b.hears_more_than(before).await;
    assert_eq!(b.principal(&tokens).await.role().as_str(), "operator");

    b.learn(&tokens).await;
    let before = b.heard();
    let grant = a.goat.roles().grant(system(), "operator", REPORTS).await.expect("granted");
    b.hears_more_than(before).await;
    assert!(b.principal(&tokens).await.may(&REPORTS));

    b.learn(&tokens).await;
    let before = b.heard();
    a.goat.roles().revoke(system(), grant.id).await.expect("revoked");
    b.hears_more_than(before).await;
    assert!(!b.principal(&tokens).await.may(&REPORTS));
    assert!(!b.goat.roles().list().await.expect("roles")[1].permissions.contains(&REPORTS));
}
