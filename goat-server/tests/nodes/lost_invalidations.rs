//! What holds where notices are lost: nothing older than the staleness is answered, and without the
//! store of sessions nobody is let in.

use std::thread;
use std::time::{Duration, Instant};

use goat_engines::{Postgres, PostgresOptions, Redis, RedisOptions};

use crate::support::node::{Node, Person, node, node_with, wait_until};
use crate::support::process::Site;
use crate::support::two_nodes::{Act, LONG, Pair, Scene};

const STALENESS: Duration = Duration::from_secs(2);
/// What a busy machine may add.
const MARGIN: Duration = Duration::from_secs(3);

fn stale(site: Site) -> Site {
    site.with("GOAT_SESSION_CACHE_STALENESS", "2s")
}

/// One node can tell nobody anything; the other hears itself, and so goes on remembering.
fn what_is_not_told_is_obeyed_all_the_same(mute: Site, hears: Site) {
    let pair = Pair::start([stale(mute), stale(hears)]);
    pair.other.wait_until_it_hears();
    assert_eq!(pair.one.series("goat_invalidation_connected"), Some(0.0), "not even itself");
    let admin = pair.one.administrator();
    let mut late = 0;
    for act in Act::ALL {
        let mut scene = Scene::new(pair.one, &admin);
        act.prepare(pair.one, &mut scene);
        act.remember(pair.nodes(), &scene);
        act.remember(pair.nodes(), &scene);
        let response = act.perform(pair.one, &scene).expect("a response");
        let begun = Instant::now();
        assert!((200..300).contains(&response.status), "{act:?}: {response:?}");
        assert!(act.is_obeyed(pair.one, &scene), "{act:?}: who did it obeys at once");
        late += usize::from(!act.is_obeyed(pair.other, &scene));
        while !act.is_obeyed(pair.other, &scene) {
            assert!(begun.elapsed() < STALENESS + MARGIN, "{act:?}: {:?}", begun.elapsed());
            thread::sleep(Duration::from_millis(5));
        }
        // R4: and what was remembered longest does not come back.
        assert!(act.is_obeyed(pair.other, &scene), "{act:?}");
    }
    assert!(late > 0, "an invalidation arrived after all, or nothing was remembered");
    assert!(pair.one.series("goat_invalidations_failed_total") >= Some(Act::ALL.len() as f64));
    assert_eq!(pair.other.series("goat_invalidations_received_total"), Some(0.0));
    pair.stop();
}

#[test]
fn without_notices_by_redis_every_act_is_obeyed_within_the_staleness() {
    let redis = Redis::start(RedisOptions::default());
    redis.cli(&["ACL", "SETUSER", "mute", "on", ">secret", "~*", "+@all", "resetchannels"]);
    let database = Postgres::shared().create_database();
    let mute = redis.url().replace("redis://", "redis://mute:secret@");
    what_is_not_told_is_obeyed_all_the_same(
        node_with(&database, &mute),
        node_with(&database, &redis.url()),
    );
}

#[test]
fn without_notices_by_postgresql_every_act_is_obeyed_within_the_staleness() {
    let postgres = Postgres::start(PostgresOptions::default());
    let url = postgres.url();
    node(&url).with("GOAT_MIGRATE_ON_START", "true").run_well(&["migrate"], "");
    postgres.psql(
        "postgres",
        "CREATE ROLE mute LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO mute;
         GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO mute; GRANT ALL ON SCHEMA public TO mute;
         REVOKE EXECUTE ON FUNCTION pg_notify(text, text) FROM PUBLIC",
    );
    let mute = url.replace("goat@", "mute@");
    what_is_not_told_is_obeyed_all_the_same(
        node(&mute).with("GOAT_MIGRATE_ON_START", "false"),
        node(&url),
    );
}

/// R9, B8, O1: also where what was remembered says that they were good.
#[test]
fn with_redis_stopped_nobody_is_let_in_unchecked() {
    let redis = Redis::start(RedisOptions::default());
    let database = Postgres::shared().create_database();
    let limited = |site: Site| stale(site).with("GOAT_STORE_TIMEOUT", "500ms");
    let pair = Pair::that_hear([(); 2].map(|()| limited(node_with(&database, &redis.url()))));
    let admin = pair.one.administrator();
    let (ann, gone) = (Scene::new(pair.one, &admin), Scene::new(pair.one, &admin));
    let asked = |node: Node, person: &Person| node.profile(person).status;
    for node in pair.nodes() {
        assert_eq!((asked(node, &ann.ann), asked(node, &gone.ann)), (200, 200));
    }
    pair.one.logout(&gone.ann);
    redis.kill();
    let begun = Instant::now();
    // Whoever was found alive less than the staleness ago may still be let in; nobody else is.
    for node in pair.nodes() {
        while asked(node, &ann.ann) == 200 {
            assert!(begun.elapsed() < STALENESS + MARGIN, "{:?}", begun.elapsed());
        }
        while asked(node, &gone.ann) == 200 {
            assert!(begun.elapsed() < STALENESS + MARGIN, "{:?}", begun.elapsed());
        }
    }
    for node in pair.nodes() {
        for person in [&ann.ann, &ann.second, &gone.ann, &admin] {
            for response in [node.profile(person), node.refresh(person)] {
                assert_eq!(response.failure(), (503, "unavailable"), "{response:?}");
                assert!(response.header("retry-after").parse::<u64>().expect("seconds") >= 1);
            }
        }
        assert_eq!(ann.login(node).failure(), (503, "unavailable"));
    }
    redis.start_again();
    for node in pair.nodes() {
        wait_until("it is ready", || node.ready().status == 200);
        for person in [&ann.ann, &ann.second, &gone.ann] {
            assert_eq!(node.profile(person).failure(), (401, "session-revoked"));
            assert_eq!(node.refresh(person).failure(), (401, "session-revoked"));
        }
        assert_eq!(ann.login(node).status, 200);
    }
    pair.stop();
}

/// B8: the limits are counted there too.
#[test]
fn with_redis_stopped_and_limits_on_not_even_the_remembered_are_let_in() {
    let redis = Redis::start(RedisOptions::default());
    let database = Postgres::shared().create_database();
    let limited = |site: Site| {
        let names = ["AUTH", "REFRESH", "PUBLIC", "ADDRESS", "USER"];
        let site = names
            .into_iter()
            .fold(site, |site, name| site.with(&format!("GOAT_RATE_LIMIT_{name}"), "100000/1m"));
        site.with(LONG.0, LONG.1).with("GOAT_STORE_TIMEOUT", "500ms")
    };
    let pair = Pair::that_hear([(); 2].map(|()| limited(node_with(&database, &redis.url()))));
    let admin = pair.one.administrator();
    let scene = Scene::new(pair.one, &admin);
    Act::Logout.remember(pair.nodes(), &scene);
    redis.kill();
    for node in pair.nodes() {
        for _ in 0..3 {
            assert_eq!(node.profile(&scene.ann).failure(), (503, "unavailable"));
        }
    }
    pair.stop();
}
