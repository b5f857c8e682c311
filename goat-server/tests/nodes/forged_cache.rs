//! S1: write access to Redis makes no user an administrator.

use goat_engines::{Postgres, Redis, RedisOptions};

use crate::support::node::{LONG_STALENESS, Tokens, node_with};
use crate::support::two_nodes::{Fixture, NodePair};

#[test]
fn writer_to_redis_becomes_no_administrator() {
    let redis = Redis::start(RedisOptions::default());
    let database = Postgres::shared().create_database();
    let program = || node_with(&database, &redis.url()).with(LONG_STALENESS.0, LONG_STALENESS.1);
    let pair = NodePair::start_connected([(); 2].map(|()| program()));
    let admin = pair.first.admin();
    let ann = Fixture::new(pair.first, &admin);
    assert_eq!(pair.first.profile(&ann.first).status, 200);
    assert_eq!(pair.first.profile(&admin).status, 200);
    let keys = redis.cli(&["KEYS", "goat:*:u"]);
    let (of_ann, of_others): (Vec<&str>, Vec<&str>) =
        keys.lines().partition(|key| key.contains(&ann.id));
    let key = of_ann[0];
    let genuine = redis.cli(&["HGET", key, "v"]);
    assert!(genuine.contains("client active"), "{genuine}");
    let of_admin = redis.cli(&["HGET", of_others[0], "v"]);
    assert!(of_admin.contains("admin active"), "{of_admin}");
    let admin = "4 01KE1Q0J0000000000000000YY admin active 0 0 - - 0 - - 1 1 0 aa";
    let forged = [admin, &genuine.replace("client", "admin"), &of_admin];
    for value in forged {
        let time = redis.cli(&["TIME"]);
        let seconds = time.lines().next().expect("seconds");
        let now = format!("{seconds}000");
        redis.cli(&["HSET", key, "r", "9", "t", &now, "v", value]);
        // A new session, which the node has not validated yet.
        let tokens = Tokens::of(&ann.login(pair.first));
        for node in pair.nodes() {
            assert_eq!(node.profile(&tokens).body["data"]["role"], "client", "{value}");
            let roles = node.0.get("/api/v1/role", &tokens.access).expect("a response");
            assert_eq!(roles.failure(), (403, "forbidden"), "{value}");
        }
    }
    let warnings = pair.warnings();
    let logged = warnings.iter().filter(|line| line.contains("wrong MAC")).count();
    assert_eq!(logged, 1, "{warnings:?}");
    pair.stop();
}
