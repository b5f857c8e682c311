//! What the tests of others rely on when they ask for Redis.

use goat_engines::{Redis, RedisCluster, RedisOptions};

#[test]
fn it_answers() {
    let redis = Redis::start(RedisOptions::default());
    assert_eq!(redis.cli(&["PING"]), "PONG");
    let cluster = RedisCluster::start();
    assert_eq!(cluster.nodes()[0].cli(&["PING"]), "PONG");
}

#[test]
fn sentinels_name_the_replica_after_the_master_is_killed() {
    for count in [1, 3] {
        let t = std::time::Instant::now();
        let sentinel = goat_engines::Sentinel::start(count);
        eprintln!("{count} sentinels: start {:?}", t.elapsed());
        let t = std::time::Instant::now();
        let old = sentinel.master().port();
        sentinel.failover();
        eprintln!("{count} sentinels: failover {:?}", t.elapsed());
        assert_ne!(sentinel.master().port(), old);
    }
}
