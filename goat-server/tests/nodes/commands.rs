//! The commands `check` and `user …` on PostgreSQL and Redis, beside running servers.

use goat_engines::{Redis, RedisOptions};

use crate::support::node::{
    LONG_STALENESS, Node, PEPPER, data, database, node, node_with, shows_redis_version, soon,
    unconfigured_node,
};
use crate::support::process::Program;

/// Running servers apply changes by the command line immediately.
#[test]
fn suspension_by_command_line_ends_sessions() {
    let redis = Redis::start(RedisOptions::default());
    let (first, second) = (database(), database());
    for (program, redis) in [(node(&first), None), (node_with(&second, &redis.url()), Some(&redis))]
    {
        let program = program.with(LONG_STALENESS.0, LONG_STALENESS.1);
        let (running, address) = program.serve();
        let server = Node::at(address);
        server.wait_until_connected();
        server.sign_up("ann@example.org");
        let ann = server.login("ann@example.org");
        let id = server.profile(&ann).body["data"]["id"].as_str().expect("an id").to_owned();
        assert_eq!(server.profile(&ann).status, 200);
        // The key of the user's sessions; keys start with the id of the database.
        let keys = format!("goat:*:{{{id}}}:s");
        let session_keys = |redis: &Redis| {
            redis.cli(&["KEYS", &keys]).lines().filter(|key| !key.is_empty()).count()
        };
        if let Some(redis) = redis {
            assert_eq!(session_keys(redis), 1, "the session is in Redis");
        }

        program.run_ok(&["user", "set-status", "ann@example.org", "suspended"], "");
        soon("the server rejects the session", || server.profile(&ann).status == 401);
        let admin = server.admin();
        let path = format!("/api/v1/user/{id}/sessions");
        let response = server.0.get(&path, &admin.access);
        assert_eq!(data(response).as_array().map(Vec::len), Some(0));
        if let Some(redis) = redis {
            assert_eq!(session_keys(redis), 0, "the session is removed");
        }

        // R4, R9: reactivation restores no session.
        program.run_ok(&["user", "set-status", "ann@example.org", "active"], "");
        assert_eq!(server.refresh(&ann).failure(), (401, "session-revoked"));
        let ann = server.login("ann@example.org");
        assert_eq!(server.profile(&ann).status, 200);
        let output = program.run_ok(&["user", "revoke-sessions", "--all"], "");
        assert!(output.starts_with("revoked 2 sessions of 2 users"), "{output}");
        soon("the server rejects the session", || server.profile(&ann).status == 401);
        running.stop();
    }
}

#[test]
fn check_reports_the_backends_without_passwords() {
    const CANARY: &str = "canary7Zp2";
    let options = RedisOptions { password: Some(CANARY.to_owned()), ..Default::default() };
    let redis = Redis::start(options);
    let database = database();
    let program = node_with(&database, &redis.url()).with("GOAT_MIGRATE_ON_START", "false");
    let exit = program.run(&["check"]);
    assert_eq!(exit.status, Some(78), "{exit:?}");
    assert!(exit.err.contains("goat-server migrate"), "{exit:?}");
    assert!(shows_redis_version(&exit.out), "{exit:?}");

    unconfigured_node(&database).run_ok(&["migrate"], "");
    let output = program.run_ok(&["check"], "");
    let subjects: Vec<_> = output.lines().filter_map(|line| line.split(':').next()).collect();
    let expected =
        ["settings", "token keys", "mail", "database", "redis", "pepper", "administrator"];
    assert_eq!(subjects, expected);
    assert!(shows_redis_version(&output), "{output}");
    for piece in [
        "token keys: HS256, signing key ",
        "database: PostgreSQL 1",
        ", schema up to date\n",
        "pepper: 1 from the settings",
        "administrator: created on start, with GOAT_ADMIN_PASSWORD\n",
    ] {
        assert!(output.contains(piece), "{piece}: {output}");
    }
    assert!(!output.contains(CANARY), "{output}");
    assert!(!program.path("data").exists(), "nothing was created");

    // Both warn about an eviction policy that loses sessions.
    redis.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let checked = program.run(&["check"]);
    assert_eq!(checked.status, Some(0), "{checked:?}");
    assert!(checked.err.contains("maxmemory-policy allkeys-lru"), "{checked:?}");
    assert_eq!(program.run(&["check", "--strict"]).status, Some(78));
    let (server, _) = program.serve();
    let lines = server.stop();
    let warned = |line: &&String| line.contains("WARN") && line.contains("allkeys-lru");
    assert_eq!(lines.iter().filter(warned).count(), 1, "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains(CANARY)), "{lines:?}");
}

#[test]
fn check_reports_every_unreachable_backend() {
    let program =
        node_with("postgres://goat:canary@127.0.0.1:1/goat", "redis://:canary@127.0.0.1:1");
    let exit = program.run(&["check"]);
    assert_eq!(exit.status, Some(1), "{exit:?}");
    let lines: Vec<_> = exit.err.lines().collect();
    assert_eq!(lines.len(), 2, "{exit:?}");
    assert!(lines[0].starts_with("DATABASE_URL: PostgreSQL is unavailable: "), "{exit:?}");
    assert!(lines[1].starts_with("REDIS_URL: Redis is unavailable: "), "{exit:?}");
    assert!(!exit.text().contains("canary"), "{exit:?}");
}

/// PostgreSQL has its own tools, which the message names.
#[test]
fn backup_and_restore_are_for_sqlite() {
    let database = database();
    let program = node(&database);
    for command in ["backup", "restore"] {
        let exit = program.run(&[command, "copy"]);
        assert_eq!(exit.status, Some(78), "{exit:?}");
        assert!(exit.err.contains("pg_dump"), "{exit:?}");
    }
    assert!(!program.path("copy").exists());
}

/// On PostgreSQL and Redis too, a command reads no secret that it does not use, creates nothing, and asks for
/// a migration.
#[test]
fn command_needs_no_keys_and_migrates_nothing() {
    let redis = Redis::start(RedisOptions::default());
    let database = database();
    let program = Program::new().with("GOAT_ENV", "production").with("DATABASE_URL", &database);
    let program = program.with("REDIS_URL", &redis.url());
    let exit = program.run(&["user", "list"]);
    assert_eq!(exit.status, Some(78), "{exit:?}");
    assert!(exit.err.contains("run goat-server migrate"), "{exit:?}");
    program.run_ok(&["migrate"], "");
    assert_eq!(program.run_ok(&["user", "list"], "").lines().count(), 1);
    let create = ["user", "create", "ann@example.org"];
    let exit = program.run_with_input(&create, "seven lamps over the quay\n");
    assert!(exit.err.starts_with("GOAT_PASSWORD_PEPPER: is not set"), "{exit:?}");
    let program = program.with("GOAT_PASSWORD_PEPPER", PEPPER);
    program.run_ok(&create, "seven lamps over the quay\n");
    let exit = program.run(&["user", "set-role", "ann@example.org", "admin"]);
    assert_eq!(exit.status, Some(0), "{exit:?}");
    assert!(exit.err.contains(r#""event":"role-changed""#), "{exit:?}");
    assert!(!exit.err.contains("MAC"), "sealed entries are not read: {exit:?}");
    assert!(!program.path("data").exists());
}
