//! Guarantees of the Redis instances, clusters and sentinels.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use goat_engines::{Persistence, Redis, RedisCluster, RedisOptions, Sentinel};

fn keeping(persistence: Persistence) -> RedisOptions {
    RedisOptions { persistence, ..Default::default() }
}

#[test]
fn the_shared_instance_has_unique_prefixes() {
    assert_eq!(Redis::shared().process_id(), Redis::shared().process_id());
    assert_eq!(Redis::shared().cli(&["PING"]), "PONG");
    let prefixes: BTreeSet<String> = (0..20).map(|_| Redis::prefix()).collect();
    assert_eq!(prefixes.len(), 20);
    let lengths: BTreeSet<usize> = prefixes.iter().map(String::len).collect();
    assert_eq!(lengths.len(), 1, "none is a prefix of another");
}

#[test]
fn a_kill_keeps_the_data_that_persistence_promises() {
    for (persistence, left) in [(Persistence::Nothing, ""), (Persistence::Always, "7")] {
        let redis = Redis::start(keeping(persistence));
        assert_eq!(redis.cli(&["SET", "kept", "7"]), "OK");
        let (port, first) = (redis.port(), redis.process_id());
        redis.kill();
        assert_eq!(redis.process_id(), None);
        redis.try_cli(&["PING"]).expect_err("it is down");
        redis.restart();
        assert_eq!(redis.port(), port);
        assert_ne!(redis.process_id(), first);
        assert_eq!(redis.cli(&["GET", "kept"]), left, "{persistence:?}");
    }
}

#[test]
fn a_stop_keeps_data_of_the_last_second() {
    let redis = Redis::start(keeping(Persistence::EverySecond));
    assert_eq!(redis.cli(&["CONFIG", "GET", "appendfsync"]), "appendfsync\neverysec");
    assert_eq!(redis.cli(&["SET", "kept", "7"]), "OK");
    redis.stop();
    redis.restart();
    assert_eq!(redis.cli(&["GET", "kept"]), "7");
}

#[test]
fn a_frozen_instance_sends_no_replies() {
    let redis = Redis::start(RedisOptions::default());
    let mut client = TcpStream::connect(redis.address()).expect("it listens");
    redis.freeze();
    client.write_all(b"PING\r\n").expect("it can be sent");
    let mut answer = [0; 7];
    client.set_read_timeout(Some(Duration::from_millis(200))).expect("a limit");
    client.read_exact(&mut answer).expect_err("no reply");
    redis.thaw();
    client.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit");
    client.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"+PONG\r\n");
}

#[test]
fn a_replica_has_the_data_of_its_master() {
    let password = Some("a-password".to_owned());
    let options = RedisOptions { password, ..Default::default() };
    let master = Redis::start(options.clone());
    let replica = Redis::start(options);
    assert_eq!(master.cli(&["SET", "kept", "7"]), "OK");
    replica.replica_of(&master);
    assert_eq!(replica.cli(&["GET", "kept"]), "7");
    assert!(replica.cli(&["SET", "kept", "8"]).starts_with("READONLY"));
}

#[test]
fn a_password_is_required_if_configured() {
    let password = Some("a-password".to_owned());
    let redis = Redis::start(RedisOptions { password, ..Default::default() });
    assert_eq!(redis.cli(&["PING"]), "PONG");
    assert_eq!(redis.url(), format!("redis://:a-password@127.0.0.1:{}", redis.port()));
    let mut client = TcpStream::connect(redis.address()).expect("it listens");
    client.write_all(b"PING\r\n").expect("it can be sent");
    let mut answer = [0; 7];
    client.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"-NOAUTH");
}

#[test]
fn with_tls_plain_connections_are_rejected() {
    let redis = Redis::start(RedisOptions { tls: true, ..Default::default() });
    assert_eq!(redis.cli(&["PING"]), "PONG");
    assert_eq!(redis.url(), format!("rediss://127.0.0.1:{}", redis.port()));
    assert!(redis.authority().expect("it has one").exists());
    let mut plain = TcpStream::connect(redis.address()).expect("it listens");
    plain.write_all(b"PING\r\n").expect("it can be sent");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"+PONG"));
}

#[test]
fn a_cluster_has_three_masters_with_all_slots() {
    let cluster = RedisCluster::shared();
    assert_eq!(cluster.urls().len(), 3);
    for node in cluster.nodes() {
        let state = node.cli(&["CLUSTER", "INFO"]);
        for line in ["cluster_state:ok", "cluster_slots_ok:16384", "cluster_size:3"] {
            assert!(state.contains(line), "{line} in {state}");
        }
        assert!(node.cli(&["ROLE"]).starts_with("master"));
        let ports = node.cli(&["CLUSTER", "SLOTS"]);
        for other in cluster.nodes() {
            assert!(ports.lines().any(|line| line == other.port().to_string()));
        }
    }
    // Each key belongs to one of the masters; the others redirect to it.
    for key in ["a", "b", "c"] {
        let answers = cluster.nodes().iter().map(|node| node.cli(&["SET", key, "1"]));
        let (taken, moved): (Vec<_>, Vec<_>) = answers.partition(|answer| answer == "OK");
        assert_eq!((taken.len(), moved.len()), (1, 2));
        assert!(moved.iter().all(|answer| answer.starts_with("MOVED")));
    }
}

#[test]
fn a_cluster_can_have_a_password() {
    let password = Some("a-password".to_owned());
    let cluster = RedisCluster::start_with(RedisOptions { password, ..Default::default() });
    assert!(cluster.urls().iter().all(|url| url.starts_with("redis://:a-password@")));
    assert!(cluster.nodes()[2].cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok"));
}

fn fails_over(sentinel: &Sentinel) {
    let [first, second] = sentinel.nodes();
    assert_eq!(sentinel.master().port(), first.port());
    assert_eq!(first.cli(&["SET", "kept", "7"]), "OK");
    sentinel.failover();
    assert_eq!(sentinel.master().port(), second.port());
    assert_eq!(second.cli(&["GET", "kept"]), "7");
    assert_eq!(second.cli(&["SET", "kept", "8"]), "OK");
}

#[test]
fn one_sentinel_fails_over_to_the_replica() {
    let sentinel = Sentinel::start(1);
    assert_eq!(sentinel.urls().len(), 1);
    fails_over(&sentinel);
}

#[test]
fn three_sentinels_with_a_password_fail_over_to_the_replica() {
    let sentinel = Sentinel::start_with(3, Some("a-password"));
    assert_eq!(sentinel.urls().len(), 3);
    assert!(sentinel.urls()[0].starts_with("redis://:a-password@"));
    fails_over(&sentinel);
}
