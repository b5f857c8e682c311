//! What the tests of others rely on when they ask for Redis.

use goat_engines::{Redis, RedisCluster, RedisOptions};

#[test]
fn it_answers() {
    let redis = Redis::start(RedisOptions::default());
    assert_eq!(redis.cli(&["PING"]), "PONG");
    let cluster = RedisCluster::start();
    assert_eq!(cluster.nodes()[0].cli(&["PING"]), "PONG");
}
