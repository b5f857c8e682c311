//! `check` and `user …` on PostgreSQL and Redis, beside servers that run.

use goat_engines::{Redis, RedisOptions};

use crate::support::node::{
    Node, REMEMBERS, bare, data, database, names_redis, node, node_with, soon,
};

/// What whoever has the machine decides is obeyed by the servers that run, at once.
#[test]
fn a_suspension_by_command_line_ends_sessions_everywhere() {
    let redis = Redis::start(RedisOptions::default());
    let (first, second) = (database(), database());
    for (site, redis) in [(node(&first), None), (node_with(&second, &redis.url()), Some(&redis))] {
        let site = site.with(REMEMBERS.0, REMEMBERS.1);
        let (running, address) = site.serve();
        let server = Node::at(address);
        server.wait_until_it_hears();
        server.sign_up("ann@example.org");
        let ann = server.login("ann@example.org");
        let id = server.profile(&ann).body["data"]["id"].as_str().expect("an id").to_owned();
        assert_eq!(server.profile(&ann).status, 200);
        // Beside it lies what is remembered of the user.
        // Its name begins with the database's own.
        let keys = format!("goat:*:{{{id}}}:s");
        let kept = |redis: &Redis| {
            redis.cli(&["KEYS", &keys]).lines().filter(|key| !key.is_empty()).count()
        };
        if let Some(redis) = redis {
            assert_eq!(kept(redis), 1, "the session lies in Redis");
        }

        site.run_well(&["user", "set-status", "ann@example.org", "suspended"], "");
        soon("the server obeys", || server.profile(&ann).status == 401);
        let admin = server.administrator();
        let path = format!("/api/v1/user/{id}/sessions");
        let response = server.0.get(&path, &admin.access);
        assert_eq!(data(response).as_array().map(Vec::len), Some(0));
        if let Some(redis) = redis {
            assert_eq!(kept(redis), 0, "nothing is left of the session");
        }

        // R4, R9: being let in again brings no session back.
        site.run_well(&["user", "set-status", "ann@example.org", "active"], "");
        assert_eq!(server.refresh(&ann).failure(), (401, "session-revoked"));
        let ann = server.login("ann@example.org");
        assert_eq!(server.profile(&ann).status, 200);
        let said = site.run_well(&["user", "revoke-sessions", "--all"], "");
        assert!(said.starts_with("revoked 2 sessions of 2 users"), "{said}");
        soon("the server obeys", || server.profile(&ann).status == 401);
        running.stop();
    }
}

#[test]
fn check_says_what_a_start_would_stand_on_without_passwords() {
    const CANARY: &str = "canary7Zp2";
    let options = RedisOptions { password: Some(CANARY.to_owned()), ..Default::default() };
    let redis = Redis::start(options);
    let database = database();
    let site = node_with(&database, &redis.url()).with("GOAT_MIGRATE_ON_START", "false");
    let ended = site.run(&["check"]);
    assert_eq!(ended.status, Some(78), "{ended:?}");
    assert!(ended.err.contains("goat-server migrate"), "{ended:?}");
    assert!(names_redis(&ended.out), "{ended:?}");

    bare(&database).run_well(&["migrate"], "");
    let said = site.run_well(&["check"], "");
    let subjects: Vec<_> = said.lines().filter_map(|line| line.split(':').next()).collect();
    let expected = ["settings", "token keys", "database", "redis", "pepper", "administrator"];
    assert_eq!(subjects, expected);
    assert!(names_redis(&said), "{said}");
    for piece in [
        "token keys: HS256, signing key ",
        "database: PostgreSQL 1",
        ", schema up to date\n",
        "pepper: 1 from the settings",
        "administrator: created on start, with GOAT_ADMIN_PASSWORD\n",
    ] {
        assert!(said.contains(piece), "{piece}: {said}");
    }
    assert!(!said.contains(CANARY), "{said}");
    assert!(!site.path("data").exists(), "nothing was made");

    // It tells of what would be lost, though a server starts with it.
    redis.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let said = site.run_well(&["check"], "");
    assert!(said.contains("maxmemory-policy allkeys-lru"), "{said}");
    let (server, _) = site.serve();
    let lines = server.stop();
    let warned = |line: &&String| line.contains("WARN") && line.contains("allkeys-lru");
    assert_eq!(lines.iter().filter(warned).count(), 1, "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains(CANARY)), "{lines:?}");
}

#[test]
fn check_tells_of_every_engine_that_is_away_at_once() {
    let site = node_with("postgres://goat:canary@127.0.0.1:1/goat", "redis://:canary@127.0.0.1:1");
    let ended = site.run(&["check"]);
    assert_eq!(ended.status, Some(1), "{ended:?}");
    let lines: Vec<_> = ended.err.lines().collect();
    assert_eq!(lines.len(), 2, "{ended:?}");
    assert!(lines[0].starts_with("DATABASE_URL: PostgreSQL is unavailable: "), "{ended:?}");
    assert!(lines[1].starts_with("REDIS_URL: Redis is unavailable: "), "{ended:?}");
    assert!(!ended.text().contains("canary"), "{ended:?}");
}
