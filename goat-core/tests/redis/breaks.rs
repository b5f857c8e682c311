//! O1: cut, swallowed, slow, forgotten, emptied: unavailable within the time-out and nothing else,
//! and whole again on the same handle, by itself.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

use goat_core::Quota;
use goat_core::session::{Revoked, Rotated, SessionEpoch};
use goat_core::store::redis::{RedisDatabase, RedisOptions};
use goat_engines::{Cut, Proxy, Redis, RedisCluster};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{
    TIMEOUT, found, hasty, is_there, key, made, now, open, recovered, rotation, session_of, spend,
    try_spend, works,
};

/// One call of each kind, whatever breaks.
async fn everything(database: &RedisDatabase, proxy: &Proxy) {
    let (sessions, limits) = (database.sessions(), database.limits());
    let (epoch, leeway) = (SessionEpoch::default(), Duration::ZERO);
    let first = crate::support::session();
    let (second, third) = (session_of(first.user), session_of(first.user));
    for session in [&first, &second, &third] {
        if !is_there(sessions.create(session, 9).await) {
            return;
        }
    }
    // R1: what is sent again because its answer was lost is no reuse, also without leeway.
    let request = rotation(&first, leeway);
    match sessions.rotate(&request).await {
        Ok(Rotated::Rotated(rotated)) => assert_eq!(rotated.current, request.successor),
        Ok(other) => panic!("{other:?}"),
        answer => assert!(!is_there(answer)),
    }
    let page = goat_core::PageRequest::default();
    if let Ok(list) = sessions.list(first.user, epoch, now(), page).await {
        assert_eq!(list.total, 3);
    }
    // All or none of them, whatever the answer is.
    let revoked = sessions.revoke(first.user, epoch, now(), &[first.id, second.id]).await;
    if let Ok(revoked) = &revoked {
        assert_eq!(*revoked, Revoked::All(2));
    }
    let had_struck = proxy.has_struck();
    is_there(revoked);
    if let Ok(view) = sessions.find(first.user, first.id).await
        && let Ok(other) = sessions.find(second.user, second.id).await
    {
        assert_eq!(view.is_some(), other.is_some(), "half of them (struck: {had_struck})");
    }
    is_there(sessions.end(third.user, third.id).await);
    is_there(sessions.revoke_all(first.user, epoch, now(), None).await);
    is_there(try_spend(&limits, key("a"), Quota::per_hour(1000), Duration::ZERO).await);
    is_there(sessions.ping().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_at_any_message_is_replaced() {
    let redis = Redis::shared();
    for place in [Cut::BeforeForwarding, Cut::BeforeAnswer] {
        let proxy = Proxy::start(redis.address());
        let mut struck = BTreeSet::new();
        // Cold, where connecting is among what is cut, and warm.
        for is_cold in [true, false] {
            let mut database = hasty(&proxy.url(&redis.url()));
            for message in 1..100 {
                if is_cold {
                    database = hasty(&proxy.url(&redis.url()));
                }
                proxy.cut_at(message, place);
                everything(&database, &proxy).await;
                let has_struck = proxy.has_struck();
                proxy.heal();
                recovered(&database).await;
                works(&database).await;
                if !has_struck {
                    break;
                }
                struck.insert((is_cold, message));
            }
        }
        assert!(struck.len() > 20, "{struck:?}");
        assert!(struck.len() < 150, "it never came to an end");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_black_hole_costs_the_time_out_and_no_more() {
    let redis = Redis::shared();
    let proxy = Proxy::start(redis.address());
    let database = hasty(&proxy.url(&redis.url()));
    works(&database).await;
    for _ in 0..3 {
        let session = made(&database.sessions()).await;
        proxy.black_hole();
        for _ in 0..5 {
            let begun = Instant::now();
            assert!(!is_there(database.sessions().find(session.user, session.id).await));
            assert!(begun.elapsed() < TIMEOUT * 4, "{:?}", begun.elapsed());
        }
        proxy.heal();
        recovered(&database).await;
        assert_eq!(found(&database.sessions(), &session).await, Some(session));
    }
}

/// Many at once while nobody answers: none of them queues behind the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_before_a_black_hole_fails_together() {
    let redis = Redis::shared();
    let proxy = Proxy::start(redis.address());
    let database = hasty(&proxy.url(&redis.url()));
    works(&database).await;
    proxy.black_hole();
    let begun = Instant::now();
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..3_000 {
        let limits = database.limits();
        crowd.spawn(async move {
            try_spend(&limits, key("a"), Quota::per_hour(9), Duration::ZERO).await
        });
    }
    for answer in crowd.join_all().await {
        assert!(!is_there(answer));
    }
    assert!(begun.elapsed() < TIMEOUT * 4, "{:?}", begun.elapsed());
    proxy.heal();
    recovered(&database).await;
}

/// A relay whose connections fall silent while new ones work, as behind a firewall that forgot them.
async fn forgetful_relay(
    upstream: std::net::SocketAddr,
) -> (std::net::SocketAddr, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (address, forget) =
        (listener.local_addr().expect("an address"), Arc::new(AtomicBool::new(false)));
    let forgets = Arc::clone(&forget);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            // The first connections fall silent when told to, those made after that never.
            let forgets = (!forgets.load(Ordering::SeqCst)).then(|| Arc::clone(&forgets));
            let server = TcpStream::connect(upstream).await.expect("Redis");
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
                    if !forgets.as_ref().is_some_and(|forgets| forgets.load(Ordering::SeqCst)) {
                        to_client.write_all(&buffer[..length]).await.expect("the client reads");
                    }
                }
            });
        }
    });
    (address, forget)
}

/// Callers that have less patience than the time-out, and so never see it, do not keep a dead
/// connection alive.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_is_noticed_by_callers_who_do_not_wait() {
    let redis = Redis::shared();
    let (address, forget) = forgetful_relay(redis.address()).await;
    let database = hasty(&format!("redis://{address}"));
    let session = made(&database.sessions()).await;
    forget.store(true, Ordering::SeqCst);
    let (begun, patience) = (Instant::now(), TIMEOUT / 6);
    let mut failures = 0;
    loop {
        let sessions = database.sessions();
        let call = sessions.find(session.user, session.id);
        match tokio::time::timeout(patience, call).await {
            Ok(answer) => {
                assert!(answer.expect("a new connection").is_some());
                break;
            }
            Err(_) => failures += 1,
        }
        assert!(begun.elapsed() < TIMEOUT * 6, "the silent connection is used for ever");
    }
    assert!(failures >= 2, "it was given up after {failures} impatient callers");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_server_is_asked_many_things_at_once() {
    let redis = Redis::shared();
    let proxy = Proxy::start(redis.address());
    let options = RedisOptions::new(proxy.url(&redis.url())).prefix(Redis::prefix());
    let database = open(&options);
    works(&database).await;
    proxy.delay(Duration::from_millis(100));
    let begun = Instant::now();
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let limits = database.limits();
        crowd.spawn(async move {
            spend(&limits, key("a"), Quota::per_hour(1000), Duration::ZERO).await
        });
    }
    let mut remaining: Vec<u32> =
        crowd.join_all().await.into_iter().map(|spent| spent.remaining).collect();
    remaining.sort_unstable();
    assert_eq!(remaining, (800..1000).collect::<Vec<_>>());
    assert!(begun.elapsed() < Duration::from_secs(2), "one after the other: {:?}", begun.elapsed());
    assert_eq!(proxy.connections(), 1);

    let hasty = hasty(&proxy.url(&redis.url()));
    proxy.delay(TIMEOUT * 3);
    let begun = Instant::now();
    assert!(!is_there(hasty.ping().await));
    assert!(begun.elapsed() < TIMEOUT * 4, "{:?}", begun.elapsed());
    proxy.heal();
    recovered(&hasty).await;
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

/// A server that forgets scripts at any moment is taught them again, and nobody hears of it.
#[tokio::test(flavor = "multi_thread")]
async fn forgotten_scripts_are_sent_again() {
    let cluster = RedisCluster::shared();
    let one = Redis::shared();
    let cluster_options = RedisOptions::new(cluster.urls().join(",")).prefix(Redis::prefix());
    for (database, servers) in [
        (open(&crate::support::shared()), vec![one]),
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

/// R9, O4: an emptied Redis revives nothing and breaks nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_redis_comes_back_empty() {
    let redis = Redis::start(goat_engines::RedisOptions::default());
    let database = hasty(&redis.url());
    let (sessions, limits, quota) = (database.sessions(), database.limits(), Quota::per_hour(2));
    let session = made(&sessions).await;
    assert_eq!(spend(&limits, key("a"), quota, Duration::ZERO).await.remaining, 1);
    redis.kill();
    for _ in 0..3 {
        assert!(!is_there(sessions.find(session.user, session.id).await));
        assert!(!is_there(try_spend(&limits, key("a"), quota, Duration::ZERO).await));
    }
    redis.start_again();
    recovered(&database).await;
    assert_eq!(found(&sessions, &session).await, None);
    let late = sessions.rotate(&rotation(&session, Duration::from_secs(9))).await;
    assert_eq!(late.expect("it answers"), Rotated::Unknown);
    assert_eq!(found(&sessions, &session).await, None);
    assert_eq!(spend(&limits, key("a"), quota, Duration::ZERO).await.remaining, 1);
    works(&database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_full_or_held_up_is_unavailable() {
    let redis = Redis::start(goat_engines::RedisOptions::default());
    let database = hasty(&redis.url());
    works(&database).await;
    assert_eq!(redis.cli(&["CONFIG", "SET", "maxmemory", "1"]), "OK");
    assert!(!is_there(database.sessions().create(&crate::support::session(), 9).await));
    let spent = try_spend(&database.limits(), key("a"), Quota::per_hour(9), Duration::ZERO).await;
    assert!(!is_there(spent));
    assert_eq!(redis.cli(&["CONFIG", "SET", "maxmemory", "0"]), "OK");
    works(&database).await;

    redis.freeze();
    let begun = Instant::now();
    assert!(!is_there(database.ping().await));
    assert!(begun.elapsed() < TIMEOUT * 4, "{:?}", begun.elapsed());
    redis.thaw();
    recovered(&database).await;
    works(&database).await;
}

/// What is not goat's is no session and no limit.
#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_wrote_is_broken_and_not_shown() {
    let (redis, options) = (Redis::shared(), crate::support::shared().prefix("strangers"));
    let database = open(&options);
    let session = crate::support::session();
    let place = format!("strangers:{{{}}}:s", session.user);
    assert_eq!(redis.cli(&["SET", &place, "canary"]), "OK");
    let error = database.sessions().find(session.user, session.id).await.expect_err("no hash");
    assert!(!error.is_unavailable(), "{error:?}");
    assert!(
        !format!("{error:?}").contains("canary") && !format!("{error:?}").contains("strangers")
    );
    // Too short to be a time of arrival.
    let (limits, quota) = (database.limits(), Quota::per_second(1).burst(1));
    spend(&limits, key("stranger's"), quota, Duration::ZERO).await;
    let place = redis.cli(&["KEYS", "strangers:*:1/1000000000/1"]);
    assert_eq!(redis.cli(&["SET", &place, "canary"]), "OK");
    let limits = open(&options).limits();
    let error = try_spend(&limits, key("stranger's"), quota, Duration::ZERO).await;
    let error = error.expect_err("no time of arrival");
    assert!(!format!("{error:?}").contains("canary"));
}

/// A handle outlives the runtime that connected it.
#[test]
fn a_handle_goes_on_in_another_runtime() {
    let database = hasty(&Redis::shared().url());
    for _ in 0..3 {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            recovered(&database).await;
            works(&database).await;
        });
    }
}
