//! Users that the application writes itself: after an invalidation all nodes see the change at
//! once.

use std::sync::Arc;

use goat_core::auth::{Login, SignUp};
use goat_core::session::Origin;
use goat_core::store::shared_cache::CacheKey;
use goat_core::store::sql::{MigrateOptions, SqliteDatabase, SqliteOptions};
use goat_core::testing::{PlainHasher, Point};
use goat_core::token::TokenKeys;
use goat_core::{Email, ErrorKind, Goat, Principal, Result, Settings, Stores, UserId};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

use crate::shared_cache::support::{Deployment, Node, STALENESS, account, put, touch};

/// A database that the application also writes, without raising revisions.
struct Harness {
    deployment: Deployment,
    stores: Stores,
    pool: SqlitePool,
    keys: TokenKeys,
    _folder: tempfile::TempDir,
}

impl Harness {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("goat.db");
        let database = SqliteDatabase::open(SqliteOptions::new(&path)).await.expect("a database");
        database.migrate(MigrateOptions::default()).await.expect("a schema");
        let options = SqliteConnectOptions::new().filename(&path);
        let pool = SqlitePool::connect_with(options).await.expect("the same database");
        let stores =
            Stores { users: database.users(), roles: database.roles(), ..Stores::memory() };
        let keys = TokenKeys::generate();
        Self { deployment: Deployment::new(), stores, pool, keys, _folder: folder }
    }

    fn node(&self) -> Node {
        self.deployment.node_over(self.stores.clone(), STALENESS)
    }

    fn goat(&self) -> Goat {
        Goat::builder(self.node().stores, self.keys.clone())
            .clock(Arc::new(self.deployment.clock.clone()))
            .hasher(Arc::new(PlainHasher::default()))
            .settings(Settings { cache_staleness: STALENESS, ..Settings::default() })
            .build()
            .expect("sound settings")
    }

    async fn run(&self, statement: &'static str) {
        sqlx::raw_sql(statement).execute(&self.pool).await.expect("written");
    }
}

async fn ann(goat: &Goat) -> (UserId, String) {
    let (email, password) = ("ann@example.org", "a long walk on a short pier");
    let sign_up = SignUp {
        email: Email::parse(email).expect("an address"),
        password: Some(password.into()),
        origin: Origin::default(),
    };
    goat.sign_up(sign_up).await.expect("signed up");
    let origin = Origin::default();
    let login =
        Login { email: email.into(), password: password.into(), device_token: None, origin };
    let signed_in = goat.login(login).await.expect("signed in").value;
    (signed_in.user.id, signed_in.tokens.access_token.expose().clone())
}

async fn ask(goat: &Goat, token: &str) -> Result<Principal> {
    goat.authenticate_token(token).await
}

/// R4: the clock stands still, so no entry becomes stale.
#[tokio::test]
async fn an_invalidation_makes_external_writes_visible_on_all_nodes() {
    let house = Harness::new().await;
    let nodes = [house.goat(), house.goat()];
    let (id, token) = ann(&nodes[0]).await;
    let role = async |goat| ask(goat, &token).await.expect("a session").role().to_string();
    for goat in &nodes {
        assert_eq!(role(goat).await, "client");
    }
    assert!(house.deployment.entry(CacheKey::User(id)).await.is_some());

    house.run("UPDATE goat_users SET role = 'operator'").await;
    assert_eq!(role(&nodes[0]).await, "client", "without an invalidation");
    nodes[1].users().invalidate(id).await;
    // A later node received no invalidation, and uses the shared cache.
    let late = house.goat();
    for goat in [&nodes[0], &nodes[1], &late] {
        assert_eq!(role(goat).await, "operator");
    }

    house.run("UPDATE goat_users SET status = 'suspended'").await;
    nodes[0].users().invalidate(id).await;
    for goat in &nodes {
        let refused = ask(goat, &token).await.expect_err("suspended");
        assert_eq!(refused.kind(), ErrorKind::SessionRevoked);
    }
    house.run("UPDATE goat_users SET status = 'active'").await;
    nodes[0].users().invalidate(id).await;
    assert_eq!(role(&nodes[1]).await, "operator");
    house.run("DELETE FROM goat_users").await;
    nodes[1].users().invalidate(id).await;
    for goat in &nodes {
        let refused = ask(goat, &token).await.expect_err("deleted");
        assert_eq!(refused.kind(), ErrorKind::SessionRevoked);
    }
}

/// Also if the statement raised no revision, so that both states have the same one.
#[tokio::test]
async fn a_slow_read_does_not_restore_an_invalidated_state() {
    let house = Harness::new().await;
    let user = account();
    put(&house.stores, &user).await;
    let id = user.user.id;
    let (slow, other) = (house.node(), house.node());
    let role = async |node: &Node| {
        node.cached_state(id).await.value.expect("the user").user.role.to_string()
    };
    let held = slow.database.hold("users.state", Point::Return);
    let reading = slow.spawn_revision(id);
    held.reached().await;
    house.run("UPDATE goat_users SET role = 'operator'").await;
    other.stores.users.invalidate(id).await.expect("told");
    held.release();
    assert_eq!(reading.await.expect("no panic"), 1, "it began before");
    for node in [&other, &slow, &other] {
        assert_eq!(role(node).await, "operator");
    }
}

/// Later writes by goat are visible, and the user is cached again when that is safe.
#[tokio::test(start_paused = true)]
async fn an_invalidated_user_is_cached_again_later() {
    let deployment = Deployment::new();
    let id = deployment.user().await;
    let node = deployment.node();
    node.revision(id).await;
    node.stores.users.invalidate(id).await.expect("told");
    node.touch(id).await.expect("written");
    assert_eq!(node.revision(id).await, 2);
    assert_eq!(deployment.entry(CacheKey::User(id)).await, None);
    deployment.clock.advance(STALENESS * 3);
    assert_eq!((node.revision(id).await, node.revision(id).await), (2, 2));
    assert!(deployment.entry(CacheKey::User(id)).await.is_some());
    touch(&deployment.database, id).await.expect("written without the cache");
    assert_eq!(node.revision(id).await, 2, "a cache hit");
}

/// If the invalidation of the shared cache fails, this node stops using it, as after a write.
#[tokio::test(start_paused = true)]
async fn a_node_bypasses_the_cache_after_a_failed_invalidation() {
    let deployment = Deployment::new();
    let id = deployment.user().await;
    let node = deployment.node();
    node.revision(id).await;
    touch(&deployment.database, id).await.expect("written elsewhere");
    deployment.cache.fail_all();
    node.stores.users.invalidate(id).await.expect("a failing cache causes no error");
    deployment.cache.recover();
    assert_eq!(node.revision(id).await, 2);
}
