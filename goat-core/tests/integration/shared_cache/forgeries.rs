//! S1: write access to Redis gives no role, status or permission. A writer that has seen every entry
//! forges, moves and repeats them.

use std::sync::Arc;
use std::time::Duration;

use goat_core::store::redis::RedisDatabase;
use goat_core::token::TokenKeys;
use goat_core::{Stores, SystemClock, UserId};
use goat_engines::Redis;

use crate::shared_cache::engines::open;
use crate::shared_cache::support::{
    Deployment, Node, account_of, cached_patiently, grant, keys, keys_of, put, state_text,
};

/// Longer than any test.
const STALENESS: Duration = Duration::from_secs(600);

/// A Redis with a prefix of its own, and a writer with `redis-cli`.
struct Shared {
    server: &'static Redis,
    prefix: String,
    deployment: Deployment,
}

impl Shared {
    fn new() -> Self {
        let (server, prefix) = (Redis::shared(), Redis::prefix());
        Self { server, prefix, deployment: Deployment::new() }
    }

    fn redis(&self) -> RedisDatabase {
        open(&self.server.url(), &self.prefix)
    }

    fn node(&self) -> Node {
        self.node_with(&keys())
    }

    fn node_with(&self, keys: &TokenKeys) -> Node {
        node(&self.deployment.database, &self.redis(), keys)
    }

    fn user_key(&self, user: UserId) -> String {
        format!("{}:{{{user}}}:u", self.prefix)
    }

    fn roles_key(&self) -> String {
        format!("{}:{{roles}}:r", self.prefix)
    }

    /// The revision, the read time and the value of an entry.
    fn entry(&self, key: &str) -> [String; 3] {
        ["r", "t", "v"].map(|field| {
            let value = self.server.cli(&["HGET", key, field]);
            assert!(!value.is_empty(), "{key} {field}");
            value
        })
    }

    fn write(&self, key: &str, [revision, read_at, value]: &[String; 3]) {
        self.server.cli(&["DEL", key]);
        let fields = ["HSET", key, "r", revision, "t", read_at, "v", value];
        assert_eq!(self.server.cli(&fields), "3");
        assert_eq!(self.server.cli(&["EXPIRE", key, "600"]), "1");
    }

    /// The server's time in milliseconds.
    fn now(&self) -> String {
        let time = self.server.cli(&["TIME"]);
        let (seconds, microseconds) = time.split_once('\n').expect("two numbers");
        format!("{seconds}{:03}", microseconds.trim().parse::<u32>().expect("a number") / 1_000)
    }
}

fn node(database: &Stores, redis: &RedisDatabase, keys: &TokenKeys) -> Node {
    let clock = Arc::new(SystemClock::start());
    cached_patiently(database.clone(), redis.shared_cache(), keys, STALENESS, clock)
}

async fn role(node: &Node, user: UserId) -> String {
    node.cached_state(user).await.value.expect("the user").user.role.as_str().to_owned()
}

/// S1
#[tokio::test]
async fn a_forged_entry_gives_no_role_and_no_status() {
    let shared = Shared::new();
    let user = shared.deployment.user().await;
    let (honest, key) = (shared.node(), shared.user_key(user));
    honest.revision(user).await;
    let [_, _, genuine] = shared.entry(&key);
    let mac = genuine.split_once(' ').expect("a MAC").0;
    let admin = state_text("admin", 0);
    for value in [
        admin.clone(),
        format!("{mac} {admin}"),
        genuine.replace("client", "admin"),
        genuine.replace("active", "suspended"),
        format!("{} {admin}", "A".repeat(43)),
        format!(" {admin}"),
    ] {
        for revision in ["1", "9"] {
            shared.write(&key, &[revision.to_owned(), shared.now(), value.clone()]);
            let node = shared.node();
            assert_eq!(role(&node, user).await, "client", "{value}");
            assert_eq!((node.cache.users().hits, node.cache.users().failures), (0, 1), "{value}");
        }
    }
}

/// S1
#[tokio::test]
async fn a_forged_entry_gives_no_permission() {
    let shared = Shared::new();
    grant(&shared.deployment.database).await.expect("granted");
    let honest = shared.node();
    let rows = honest.cached_rows().await.value;
    let key = shared.roles_key();
    let [revision, _, genuine] = shared.entry(&key);
    let forged = genuine.replace("report:read", "full_access");
    assert_ne!(forged, genuine);
    let (_, plain) = forged.split_once(' ').expect("a MAC");
    for value in [forged.as_str(), plain] {
        shared.write(&key, &[revision.clone(), shared.now(), value.to_owned()]);
        let node = shared.node();
        assert_eq!(node.cached_rows().await.value, rows);
        assert_eq!((node.cache.roles().hits, node.cache.roles().failures), (0, 1));
    }
}

/// S1: an authentic entry is valid under its own key only, also in another deployment with the same
/// token keys.
#[tokio::test]
async fn an_authentic_entry_is_not_valid_under_another_key() {
    let shared = Shared::new();
    let admin = account_of("admin");
    put(&shared.deployment.database, &admin).await;
    let client = shared.deployment.user().await;
    let honest = shared.node();
    honest.revision(admin.user.id).await;
    let entry = shared.entry(&shared.user_key(admin.user.id));
    assert!(entry[2].contains("admin"));
    shared.write(&shared.user_key(client), &entry);
    assert_eq!(role(&shared.node(), client).await, "client");

    // Another prefix, such as that of a staging system.
    grant(&shared.deployment.database).await.expect("granted");
    honest.cached_rows().await;
    let other = Shared { deployment: Deployment::new(), ..Shared::new() };
    other.write(&other.roles_key(), &shared.entry(&shared.roles_key()));
    assert_eq!(other.node().cached_rows().await.value.grants, []);
}

/// S1: an entry that was replaced is valid for the staleness after its read and no longer: neither a
/// later read time nor a higher revision can be written to it.
#[tokio::test]
async fn a_repeated_entry_cannot_be_made_younger() {
    let shared = Shared::new();
    let user = shared.deployment.user().await;
    let (node, key) = (shared.node(), shared.user_key(user));
    node.revision(user).await;
    let [revision, read_at, value] = shared.entry(&key);
    node.touch(user).await.expect("written");
    let later: u64 = read_at.parse::<u64>().expect("a number") + 1;
    for changed in [
        [revision.clone(), shared.now(), value.clone()],
        [revision.clone(), later.to_string(), value.clone()],
        ["2".to_owned(), read_at.clone(), value.clone()],
        ["3".to_owned(), shared.now(), value.clone()],
    ] {
        shared.write(&key, &changed);
        assert_eq!(shared.node().revision(user).await, 2, "{changed:?}");
    }
}

/// S1: while the keys are rotated, nodes with old and new key rings serve the right states, and share
/// the entries of the keys that they have in common.
#[tokio::test]
async fn nodes_with_old_and_new_keys_work_together() {
    const OLD: &str = "an old secret of at least thirty-two bytes";
    const NEW: &str = "a new secret of at least thirty-two bytes";
    let rings = [&[OLD][..], &[OLD, NEW], &[NEW, OLD], &[NEW]];
    for (writer, by) in rings.iter().enumerate() {
        for (reader, with) in rings.iter().enumerate() {
            let shared = Shared::new();
            let user = shared.deployment.user().await;
            let (by, with) = (shared.node_with(&keys_of(by)), shared.node_with(&keys_of(with)));
            assert_eq!(by.revision(user).await, 1);
            assert_eq!(with.revision(user).await, 1);
            let is_shared = rings[reader].contains(&rings[writer][0]);
            assert_eq!(with.cache.users().hits == 1, is_shared, "{writer} {reader}");
            // A write on one side invalidates on the other.
            with.touch(user).await.expect("written");
            assert_eq!((by.revision(user).await, with.revision(user).await), (2, 2));
        }
    }
}
