//! What the application writes past goat, and tells goat of: all nodes go by it at once.

use std::sync::Arc;

use goat_core::auth::{Login, SignUp};
use goat_core::session::Origin;
use goat_core::store::shared_cache::CacheKey;
use goat_core::store::sql::{MigrateOptions, SqliteDatabase, SqliteOptions};
use goat_core::testing::{PlainHasher, Point};
use goat_core::token::TokenKeys;
use goat_core::{Email, ErrorKind, Goat, Principal, Result, Settings, Stores, UserId};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

use crate::support::{Ground, Node, STALENESS, account, put, touch};

/// A database that the application writes, too: with statements of its own, which count nothing.
struct House {
    ground: Ground,
    stores: Stores,
    pool: SqlitePool,
    keys: TokenKeys,
    _folder: tempfile::TempDir,
}

impl House {
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
        Self { ground: Ground::new(), stores, pool, keys, _folder: folder }
    }

    fn node(&self) -> Node {
        self.ground.node_over(self.stores.clone(), STALENESS)
    }

    fn goat(&self) -> Goat {
        Goat::builder(self.node().stores, self.keys.clone())
            .clock(Arc::new(self.ground.clock.clone()))
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
        password: password.into(),
        origin: Origin::default(),
    };
    goat.sign_up(sign_up).await.expect("signed up");
    let origin = Origin::default();
    let login = Login { email: email.into(), password: password.into(), origin };
    let signed_in = goat.login(login).await.expect("signed in").value;
    (signed_in.user.id, signed_in.tokens.access_token.expose().clone())
}

async fn ask(goat: &Goat, token: &str) -> Result<Principal> {
    goat.authenticate_token(token).await
}

/// R4: the clock stands still, so that nothing is seen because what was remembered is over.
#[tokio::test]
async fn what_the_application_writes_itself_counts_at_all_nodes_once_goat_is_told() {
    let house = House::new().await;
    let nodes = [house.goat(), house.goat()];
    let (id, token) = ann(&nodes[0]).await;
    let role = async |goat| ask(goat, &token).await.expect("a session").role().to_string();
    for goat in &nodes {
        assert_eq!(role(goat).await, "client");
    }
    assert!(house.ground.on_the_shelf(CacheKey::User(id)).await.is_some());

    house.run("UPDATE goat_users SET role = 'operator'").await;
    assert_eq!(role(&nodes[0]).await, "client", "nobody has told goat");
    nodes[1].users().invalidate(id).await;
    // One that started later has heard nothing, and goes by what the nodes remember together.
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

/// Also where the statement did not count, so that the two states have one revision.
#[tokio::test]
async fn a_slow_reader_does_not_bring_back_what_was_there_before_goat_was_told() {
    let house = House::new().await;
    let user = account();
    put(&house.stores, &user).await;
    let id = user.user.id;
    let (slow, other) = (house.node(), house.node());
    let role =
        async |node: &Node| node.cached_state(id).await.value.expect("the user").role.to_string();
    let held = slow.database.hold("users.state", Point::Return);
    let reading = slow.seeing(id);
    held.reached().await;
    house.run("UPDATE goat_users SET role = 'operator'").await;
    other.stores.users.invalidate(id).await.expect("told");
    held.release();
    assert_eq!(reading.await.expect("no panic"), 1, "it asked before");
    for node in [&other, &slow, &other] {
        assert_eq!(role(node).await, "operator");
    }
}

/// What goat writes afterwards is seen as ever, and remembered again when that is safe.
#[tokio::test(start_paused = true)]
async fn a_user_whom_goat_was_told_of_is_remembered_again_after_a_while() {
    let ground = Ground::new();
    let id = ground.user().await;
    let node = ground.node();
    node.sees(id).await;
    node.stores.users.invalidate(id).await.expect("told");
    node.touch(id).await.expect("written");
    assert_eq!(node.sees(id).await, 2);
    assert_eq!(ground.on_the_shelf(CacheKey::User(id)).await, None);
    ground.clock.advance(STALENESS * 3);
    assert_eq!((node.sees(id).await, node.sees(id).await), (2, 2));
    assert!(ground.on_the_shelf(CacheKey::User(id)).await.is_some());
    touch(&ground.database, id).await.expect("written past the shelf");
    assert_eq!(node.sees(id).await, 2, "it is remembered");
}

/// A shelf that cannot be told leaves this node without it, as after a write.
#[tokio::test(start_paused = true)]
async fn a_node_that_cannot_tell_the_shelf_does_without_it() {
    let ground = Ground::new();
    let id = ground.user().await;
    let node = ground.node();
    node.sees(id).await;
    touch(&ground.database, id).await.expect("written elsewhere");
    ground.shelf.go_down();
    node.stores.users.invalidate(id).await.expect("nothing fails for the shelf");
    ground.shelf.come_back();
    assert_eq!(node.sees(id).await, 2);
}
