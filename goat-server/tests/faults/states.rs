//! Engines that are slow, full, emptied, or back in time.

use std::fs;
use std::thread;
use std::time::Duration;

use goat_engines::{Postgres, PostgresOptions, Proxy, Redis, RedisOptions};

use super::responses::{impatient, in_time, is_success, once_well, wait_until_ready};
use crate::support::node::{Node, node, node_with, soon, wait_until};
use crate::support::two_nodes::{Act, Pair, Scene, verify};

fn is_out(case: &str, at: Node, scene: &Scene) {
    for response in [
        in_time(case, || Some(scene.login(at))),
        in_time(case, || Some(at.refresh(&scene.ann))),
        in_time(case, || Some(at.profile(&scene.ann))),
        in_time(case, || Act::Suspend.perform(at, scene)),
    ] {
        assert!(!is_success(case, &response), "{case}: {response:?}");
    }
    assert_eq!(at.health(), 200, "{case}: O2");
    assert_eq!(in_time(case, || Some(at.ready())).status, 503, "{case}: O2");
}

fn is_back(case: &str, at: Node, scene: &Scene) {
    wait_until_ready(case, at);
    assert_eq!(once_well(case, || Some(scene.login(at))).status, 200, "{case}");
    assert_eq!(once_well(case, || Some(at.profile(&scene.ann))).status, 200, "{case}");
    // R3: it was shown while the engine was slow, perhaps rotated, and costs nothing.
    let refreshed = once_well(case, || Some(at.refresh(&scene.ann)));
    assert_eq!(refreshed.status, 200, "{case}: {refreshed:?}");
}

/// O1: slower than a call may take; then slow, but not too slow.
#[test]
fn an_engine_that_is_slow_is_a_503_in_time_and_one_that_is_less_slow_is_waited_for() {
    let redis = Redis::start(RedisOptions::default());
    for is_redis in [false, true] {
        let url = Postgres::shared().create_database();
        let engine = if is_redis { redis.address() } else { Postgres::shared().address() };
        let proxy = Proxy::start(engine);
        let site = match is_redis {
            false => node(&proxy.url(&url)),
            true => node_with(&url, &proxy.url(&redis.url())),
        };
        let pair = Pair::start([impatient(site), node(&url)]);
        let admin = pair.one.administrator();
        let scene = Scene::new(pair.one, &admin);
        let case = if is_redis { "a slow Redis" } else { "a slow PostgreSQL" };
        proxy.delay(Duration::from_secs(5));
        // What is remembered is past its time first.
        if !is_redis {
            wait_until("nothing is remembered", || pair.one.profile(&scene.ann).status == 503);
        }
        is_out(case, pair.one, &scene);
        proxy.heal();
        is_back(case, pair.one, &scene);
        proxy.delay(Duration::from_millis(5));
        assert_eq!(once_well(case, || Some(scene.login(pair.one))).status, 200);
        proxy.heal();
        pair.stop();
    }
}

/// O1: others have taken every connection that there is.
#[test]
fn a_postgresql_without_a_connection_left_is_a_503_until_there_is_one() {
    // Beside these, what is left is for administrators alone.
    const OTHERS: usize = 8;
    let settings = ["max_connections = 14", "superuser_reserved_connections = 6"];
    let postgres = Postgres::start(PostgresOptions {
        settings: settings.map(str::to_owned).into(),
        ..Default::default()
    });
    let url = postgres.url();
    node(&url).run_well(&["migrate"], "");
    postgres.psql(
        "postgres",
        "CREATE ROLE app LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO app;
         GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app",
    );
    let ours = node(&url.replace("goat@", "app@")).with("GOAT_MIGRATE_ON_START", "false");
    let site = impatient(ours.with("GOAT_DATABASE_MAX_CONNECTIONS", "2"));
    let (server, address) = site.serve();
    let at = Node::at(address);
    let admin = at.administrator();
    let scene = Scene::new(at, &admin);
    thread::scope(|scope| {
        let others: Vec<_> = (0..OTHERS)
            .map(|_| scope.spawn(|| postgres.try_psql("postgres", "SELECT 'other', pg_sleep(6)")))
            .collect();
        let sleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        // The one who asks has a connection that is kept for administrators.
        wait_until("others have all", || {
            postgres.try_psql("postgres", sleep).is_ok_and(|count| count == OTHERS.to_string())
        });
        postgres.psql(
            "postgres",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'",
        );
        wait_until("nothing is remembered", || at.profile(&scene.ann).status == 503);
        is_out("no connection", at, &scene);
        assert!(others.iter().all(|other| !other.is_finished()), "they held them all the time");
        for other in others {
            other.join().expect("no panic").expect("it slept");
        }
    });
    is_back("no connection", at, &scene);
    server.stop();
}

/// R9.
#[test]
fn an_emptied_redis_signs_everybody_out_and_revives_nothing() {
    let redis = Redis::start(RedisOptions::default());
    let url = Postgres::shared().create_database();
    let pair = Pair::that_hear([(); 2].map(|()| impatient(node_with(&url, &redis.url()))));
    let admin = pair.one.administrator();
    let ended = [Act::Logout, Act::Suspend, Act::RevokeAll, Act::ChangePassword].map(|act| {
        let scene = Scene::new(pair.one, &admin);
        let response = act.perform(pair.one, &scene).expect("a response");
        assert!((200..300).contains(&response.status), "{response:?}");
        scene
    });
    let alive = Scene::new(pair.one, &admin);
    assert_eq!(redis.cli(&["FLUSHALL"]), "OK");
    for node in pair.nodes() {
        for scene in ended.iter().chain([&alive]) {
            for person in [&scene.ann, &scene.second] {
                // Less than the staleness ago it was alive.
                soon("it is over", || node.profile(person).status == 401);
                assert_eq!(node.refresh(person).failure(), (401, "session-revoked"));
            }
        }
        assert_eq!(node.ready().status, 200);
    }
    assert_eq!(ended[1].login(pair.one).status, 403, "suspended as before");
    for node in pair.nodes() {
        let person = crate::support::node::Person::of(&alive.login(node));
        for node in pair.nodes() {
            assert_eq!(node.profile(&person).status, 200);
        }
    }
    pair.stop();
}

/// R9: the sessions that it brings back were ended by what the database knows.
#[test]
fn a_redis_that_went_back_in_time_revives_nothing_that_the_epoch_ended() {
    let redis = Redis::start(RedisOptions::default());
    let url = Postgres::shared().create_database();
    let pair = Pair::that_hear([(); 2].map(|()| impatient(node_with(&url, &redis.url()))));
    let admin = pair.one.administrator();
    let acts = [
        Act::Suspend,
        Act::ChangePassword,
        Act::RevokeOthers,
        Act::RevokeAll,
        Act::RevokeByAdministrator,
        Act::Delete,
    ];
    let scenes = acts.map(|_| Scene::new(pair.one, &admin));
    let alive = Scene::new(pair.one, &admin);
    // It remembers all of them as they were.
    for node in pair.nodes() {
        for scene in &scenes {
            assert_eq!(
                (node.profile(&scene.ann).status, node.profile(&scene.second).status),
                (200, 200)
            );
        }
    }
    assert_eq!(redis.cli(&["SAVE"]), "OK");
    let file = redis.folder().join("dump.rdb");
    let older = fs::read(&file).expect("a dump");
    for (act, scene) in acts.into_iter().zip(&scenes) {
        let response = act.perform(pair.one, scene).expect("a response");
        assert!((200..300).contains(&response.status), "{act:?}: {response:?}");
    }
    let before: u64 = redis.cli(&["DBSIZE"]).parse().expect("a number");
    redis.kill();
    fs::write(&file, older).expect("the older dump");
    redis.start_again();
    let after: u64 = redis.cli(&["DBSIZE"]).parse().expect("a number");
    assert!(after > before, "it brought something back: {before} keys, then {after}");
    for node in pair.nodes() {
        wait_until_ready("back in time", node);
        for (act, scene) in acts.into_iter().zip(&scenes) {
            let keeps_first = matches!(act, Act::ChangePassword | Act::RevokeOthers);
            let people =
                if keeps_first { vec![&scene.second] } else { vec![&scene.ann, &scene.second] };
            for person in people {
                soon("it is over", || node.profile(person).status == 401);
                let refused = once_well("refresh", || Some(node.refresh(person)));
                assert_eq!(refused.status, 401, "{act:?}: {refused:?}");
                assert_eq!(node.profile(person).status, 401, "{act:?}");
                // The verdict alone, without the user being read for the response.
                assert_eq!(verify(node, person).status, 401, "{act:?}");
            }
        }
        assert_eq!(once_well("alive", || Some(node.profile(&alive.ann))).status, 200);
    }
    // Nor does it come back with the user.
    let back = once_well("active", || scenes[0].change(pair.one, "status", "active"));
    assert_eq!(back.status, 200, "{back:?}");
    for node in pair.nodes() {
        assert_eq!(node.profile(&scenes[0].ann).status, 401);
        assert_eq!(node.refresh(&scenes[0].second).status, 401);
    }
    pair.stop();
}
