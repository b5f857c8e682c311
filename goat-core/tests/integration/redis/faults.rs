//! Connection faults (O1): a cut, silent, slow or emptied server is unavailable within the timeout
//! and nothing else, and the same handle recovers by itself.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

use goat_core::Quota;
use goat_core::session::SessionEpoch;
use goat_core::store::redis::{RedisDatabase, RedisOptions};
use goat_core::store::{Revoked, Rotated};
use goat_engines::{Cut, Proxy, Redis, RedisCluster};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::redis::support::{
    TIMEOUT, acquire, found, key, made, now, open, recovered, rotation, session_of, succeeded,
    try_acquire, with_short_timeout, works,
};

/// One call of each kind, under any fault.
async fn call_everything(database: &RedisDatabase, proxy: &Proxy) {
    let (sessions, limits) = (database.sessions(), database.limits());
    let (epoch, leeway) = (SessionEpoch::default(), Duration::ZERO);
    let first = crate::redis::support::session();
    let (second, third) = (session_of(first.user), session_of(first.user));
    for session in [&first, &second, &third] {
        if !succeeded(sessions.create(session, 9).await) {
            return;
        }
    }
    // R1: a retry after a lost reply is not a reuse, also without a grace period.
    let request = rotation(&first, leeway);
    match sessions.rotate(&request).await {
        Ok(Rotated::Rotated(rotated)) => assert_eq!(rotated.current, request.successor),
        Ok(other) => panic!("{other:?}"),
        answer => assert!(!succeeded(answer)),
    }
    let page = goat_core::PageRequest::default();
    if let Ok(list) = sessions.list(first.user, epoch, now(), page).await {
        assert_eq!(list.total, 3);
    }
    // All or none of them, for any outcome.
    let revoked = sessions.revoke(first.user, epoch, now(), &[first.id, second.id]).await;
    if let Ok(revoked) = &revoked {
        assert_eq!(*revoked, Revoked::All(2));
    }
    let had_triggered = proxy.has_triggered();
    succeeded(revoked);
    if let Ok(view) = sessions.find(first.user, first.id).await
        && let Ok(other) = sessions.find(second.user, second.id).await
    {
        assert_eq!(
            view.is_some(),
            other.is_some(),
            "half of the batch (triggered: {had_triggered})"
        );
    }
    succeeded(sessions.end(third.user, third.id).await);
    succeeded(sessions.revoke_all(first.user, epoch, now(), None).await);
    succeeded(try_acquire(&limits, key("a"), Quota::per_hour(1000), Duration::ZERO).await);
    succeeded(sessions.ping().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_at_any_message_is_replaced() {
    let redis = Redis::shared();
    for place in [Cut::BeforeForwarding, Cut::BeforeAnswer] {
        let proxy = Proxy::start(redis.address());
        let mut triggered = BTreeSet::new();
        // Cold connections, where connecting can be cut too, and warm ones.
        for is_cold in [true, false] {
            let mut database = with_short_timeout(&proxy.url(&redis.url()));
            for message in 1..100 {
                if is_cold {
                    database = with_short_timeout(&proxy.url(&redis.url()));
                }
                proxy.cut_at(message, place);
                call_everything(&database, &proxy).await;
                let has_triggered = proxy.has_triggered();
                proxy.heal();
                recovered(&database).await;
                works(&database).await;
                if !has_triggered {
                    break;
                }
                triggered.insert((is_cold, message));
            }
        }
        assert!(triggered.len() > 20, "{triggered:?}");
        assert!(triggered.len() < 150, "too many messages");
    }
}

/// O1, S2: a connection that the server closed while it was idle fails no call, whether the call may be
/// repeated or not.
#[tokio::test(flavor = "multi_thread")]
async fn connections_closed_while_idle_fail_no_call() {
    let redis = Redis::start(goat_engines::RedisOptions::default());
    // A busy machine may delay a reply by seconds.
    let options = RedisOptions::new(redis.url()).prefix(Redis::prefix());
    let database = open(&options.timeout(Duration::from_secs(30)));
    let (sessions, limits) = (database.sessions(), database.limits());
    let (epoch, page) = (SessionEpoch::default(), goat_core::PageRequest::default());
    works(&database).await;
    // As by the server's `timeout`, a restart of a middlebox, or an operator.
    let close = || {
        let closed = redis.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
        // The readiness check has a connection of its own.
        assert!(["1", "2"].contains(&closed.as_str()), "{closed} connections");
    };
    for _ in 0..10 {
        let (first, user) = (made(&sessions).await, crate::redis::support::session().user);
        let second = session_of(first.user);
        close();
        sessions.create(&second, 9).await.expect("create");
        close();
        assert_eq!(found(&sessions, &first).await.as_ref(), Some(&first));
        close();
        let listed = sessions.list(first.user, epoch, now(), page).await.expect("list");
        assert_eq!(listed.total, 2);
        close();
        let rotated = sessions.rotate(&rotation(&first, Duration::ZERO)).await.expect("rotate");
        assert!(matches!(rotated, Rotated::Rotated(_)), "{rotated:?}");
        close();
        let revoked = sessions.revoke(first.user, epoch, now(), &[first.id, second.id]).await;
        assert_eq!(revoked.expect("revoke"), Revoked::All(2));
        close();
        assert!(!sessions.end(first.user, first.id).await.expect("end"));
        close();
        assert_eq!(sessions.revoke_all(user, epoch, now(), None).await.expect("revoke_all"), 0);
        close();
        acquire(&limits, key("idle"), Quota::per_hour(1000), Duration::ZERO).await;
        close();
        sessions.ping().await.expect("ping");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_black_hole_fails_calls_within_the_timeout() {
    let redis = Redis::shared();
    let proxy = Proxy::start(redis.address());
    let database = with_short_timeout(&proxy.url(&redis.url()));
    works(&database).await;
    for _ in 0..2 {
        let session = made(&database.sessions()).await;
        proxy.black_hole();
        for _ in 0..3 {
            let begun = Instant::now();
            assert!(!succeeded(database.sessions().find(session.user, session.id).await));
            assert!(begun.elapsed() < TIMEOUT * 4, "{:?}", begun.elapsed());
        }
        proxy.heal();
        recovered(&database).await;
        assert_eq!(found(&database.sessions(), &session).await, Some(session));
    }
}

/// Concurrent calls without replies: none queues behind the others.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_calls_into_a_black_hole_fail_together() {
    let redis = Redis::shared();
    let proxy = Proxy::start(redis.address());
    let database = with_short_timeout(&proxy.url(&redis.url()));
    works(&database).await;
    proxy.black_hole();
    let begun = Instant::now();
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..3_000 {
        let limits = database.limits();
        crowd.spawn(async move {
            try_acquire(&limits, key("a"), Quota::per_hour(9), Duration::ZERO).await
        });
    }
    for answer in crowd.join_all().await {
        assert!(!succeeded(answer));
    }
    assert!(begun.elapsed() < TIMEOUT * 4, "{:?}", begun.elapsed());
    proxy.heal();
    recovered(&database).await;
}

/// A relay whose connections become silent while new ones work, as behind a firewall that lost its
/// state.
async fn silencing_relay(
    upstream: std::net::SocketAddr,
) -> (std::net::SocketAddr, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (address, silence) =
        (listener.local_addr().expect("an address"), Arc::new(AtomicBool::new(false)));
    let silenced = Arc::clone(&silence);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            // Connections made before the flag become silent, later ones do not.
            let silenced = (!silenced.load(Ordering::SeqCst)).then(|| Arc::clone(&silenced));
            let server = TcpStream::connect(upstream).await.expect("Redis");
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
                    if !silenced.as_ref().is_some_and(|silenced| silenced.load(Ordering::SeqCst)) {
                        to_client.write_all(&buffer[..length]).await.expect("the client reads");
                    }
                }
            });
        }
    });
    (address, silence)
}

/// Callers with a shorter timeout, which never see the connection's own timeout, do not keep a dead
/// connection in use.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_is_replaced_despite_impatient_callers() {
    let redis = Redis::shared();
    let (address, silence) = silencing_relay(redis.address()).await;
    let database = with_short_timeout(&format!("redis://{address}"));
    let session = made(&database.sessions()).await;
    silence.store(true, Ordering::SeqCst);
    let (begun, timeout) = (Instant::now(), TIMEOUT / 6);
    let mut failures = 0;
    loop {
        let sessions = database.sessions();
        let call = sessions.find(session.user, session.id);
        match tokio::time::timeout(timeout, call).await {
            Ok(answer) => {
                assert!(answer.expect("a new connection").is_some());
                break;
            }
            Err(_) => failures += 1,
        }
        assert!(begun.elapsed() < TIMEOUT * 6, "the silent connection is used for ever");
    }
    assert!(failures >= 2, "replaced after {failures} impatient callers");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_to_a_slow_server_are_pipelined() {
    let redis = Redis::shared();
    let proxy = Proxy::start(redis.address());
    let options = RedisOptions::new(proxy.url(&redis.url())).prefix(Redis::prefix());
    let database = open(&options.timeout(Duration::from_secs(30)));
    works(&database).await;
    proxy.delay(Duration::from_millis(100));
    let begun = Instant::now();
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let limits = database.limits();
        crowd.spawn(async move {
            acquire(&limits, key("a"), Quota::per_hour(1000), Duration::ZERO).await
        });
    }
    let mut remaining: Vec<u32> =
        crowd.join_all().await.into_iter().map(|decision| decision.remaining).collect();
    remaining.sort_unstable();
    assert_eq!(remaining, (800..1000).collect::<Vec<_>>());
    // One after the other, they would take twenty seconds.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(proxy.connections(), 1);

    let database = with_short_timeout(&proxy.url(&redis.url()));
    proxy.delay(TIMEOUT * 3);
    let begun = Instant::now();
    assert!(!succeeded(database.ping().await));
    assert!(begun.elapsed() < TIMEOUT * 4, "{:?}", begun.elapsed());
    proxy.heal();
    recovered(&database).await;
}

async fn load(database: &RedisDatabase, rounds: usize) {
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let database = database.clone();
        crowd.spawn(async move {
            for _ in 0..rounds {
                works(&database).await;
            }
        });
    }
    crowd.join_all().await;
}

/// Scripts that a server loses at any time are loaded again, without an error.
#[tokio::test(flavor = "multi_thread")]
async fn flushed_scripts_are_loaded_again() {
    let cluster = RedisCluster::shared();
    let one = Redis::shared();
    let cluster_options = RedisOptions::new(cluster.urls().join(",")).prefix(Redis::prefix());
    for (database, servers) in [
        (open(&crate::redis::support::shared()), vec![one]),
        (open(&cluster_options), cluster.nodes().iter().collect()),
    ] {
        let loading = tokio::spawn(async move { load(&database, 30).await });
        while !loading.is_finished() {
            for server in &servers {
                tokio::task::block_in_place(|| assert_eq!(server.cli(&["SCRIPT", "FLUSH"]), "OK"));
            }
        }
        loading.await.expect("every call works");
    }
}

/// R9, O4: an emptied Redis revives no session and causes no errors.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_redis_comes_back_empty() {
    let redis = Redis::start(goat_engines::RedisOptions::default());
    let database = with_short_timeout(&redis.url());
    let (sessions, limits, quota) = (database.sessions(), database.limits(), Quota::per_hour(2));
    let session = made(&sessions).await;
    assert_eq!(acquire(&limits, key("a"), quota, Duration::ZERO).await.remaining, 1);
    redis.kill();
    for _ in 0..3 {
        assert!(!succeeded(sessions.find(session.user, session.id).await));
        assert!(!succeeded(try_acquire(&limits, key("a"), quota, Duration::ZERO).await));
    }
    redis.restart();
    recovered(&database).await;
    assert_eq!(found(&sessions, &session).await, None);
    let late = sessions.rotate(&rotation(&session, Duration::from_secs(9))).await;
    assert_eq!(late.expect("a reply"), Rotated::Unknown);
    assert_eq!(found(&sessions, &session).await, None);
    assert_eq!(acquire(&limits, key("a"), quota, Duration::ZERO).await.remaining, 1);
    works(&database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_or_frozen_server_is_unavailable() {
    let redis = Redis::start(goat_engines::RedisOptions::default());
    let database = with_short_timeout(&redis.url());
    works(&database).await;
    assert_eq!(redis.cli(&["CONFIG", "SET", "maxmemory", "1"]), "OK");
    assert!(!succeeded(database.sessions().create(&crate::redis::support::session(), 9).await));
    let decision =
        try_acquire(&database.limits(), key("a"), Quota::per_hour(9), Duration::ZERO).await;
    assert!(!succeeded(decision));
    assert_eq!(redis.cli(&["CONFIG", "SET", "maxmemory", "0"]), "OK");
    works(&database).await;

    redis.freeze();
    let begun = Instant::now();
    assert!(!succeeded(database.ping().await));
    assert!(begun.elapsed() < TIMEOUT * 4, "{:?}", begun.elapsed());
    redis.thaw();
    recovered(&database).await;
    works(&database).await;
}

/// Foreign values are neither sessions nor limits.
#[tokio::test(flavor = "multi_thread")]
async fn foreign_values_are_errors_that_do_not_quote_them() {
    let (redis, options) = (Redis::shared(), crate::redis::support::shared().prefix("strangers"));
    let database = open(&options);
    let session = crate::redis::support::session();
    let place = format!("strangers:{{{}}}:s", session.user);
    assert_eq!(redis.cli(&["SET", &place, "canary"]), "OK");
    let error = database.sessions().find(session.user, session.id).await.expect_err("no hash");
    assert!(!error.is_unavailable(), "{error:?}");
    assert!(
        !format!("{error:?}").contains("canary") && !format!("{error:?}").contains("strangers")
    );
    // Too short for a theoretical arrival time.
    let (limits, quota) = (database.limits(), Quota::per_second(1).burst(1));
    acquire(&limits, key("stranger's"), quota, Duration::ZERO).await;
    let place = redis.cli(&["KEYS", "strangers:*:1/1000000000/1"]);
    assert_eq!(redis.cli(&["SET", &place, "canary"]), "OK");
    let limits = open(&options).limits();
    let error = try_acquire(&limits, key("stranger's"), quota, Duration::ZERO).await;
    let error = error.expect_err("not an arrival time");
    assert!(!format!("{error:?}").contains("canary"));
}

/// A handle survives the runtime that connected it.
#[test]
fn a_handle_works_in_another_runtime() {
    let database = with_short_timeout(&Redis::shared().url());
    for _ in 0..3 {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            recovered(&database).await;
            works(&database).await;
        });
    }
}
