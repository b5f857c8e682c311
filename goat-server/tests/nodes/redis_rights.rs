//! The rights of the Redis user that the guide documents: they suffice, and a start names one that is
//! missing.

use goat_engines::{Postgres, Redis, RedisOptions};

use crate::support::node::{LONG_STALENESS, Node, node_with, soon};
use crate::support::two_nodes::{Fixture, NodePair, Operation};

/// The command in the guide that creates the user.
fn documented() -> Vec<&'static str> {
    let guide = include_str!("../../guide/several-nodes.md");
    let command = guide.lines().find(|line| line.starts_with("ACL SETUSER goat "));
    command.expect("the command").split(' ').collect()
}

fn url(redis: &Redis) -> String {
    format!("redis://goat:secret@127.0.0.1:{}", redis.port())
}

#[test]
fn documented_rights_suffice_for_every_operation() {
    let redis = Redis::start(RedisOptions::default());
    assert_eq!(redis.cli(&documented()), "OK");
    let database = Postgres::shared().create_database();
    let program = || node_with(&database, &url(&redis)).with(LONG_STALENESS.0, LONG_STALENESS.1);
    program().with("GOAT_MIGRATE_ON_START", "true").run_ok(&["migrate"], "");
    program().run_ok(&["check"], "");
    let pair = NodePair::start_connected([(); 2].map(|()| program()));
    let admin = pair.first.admin();
    for operation in Operation::ALL {
        let mut fixture = Fixture::new(pair.first, &admin);
        operation.prepare(pair.first, &mut fixture);
        operation.warm_caches(pair.nodes(), &fixture);
        let response = operation.perform(pair.first, &fixture).expect("a response");
        assert!((200..300).contains(&response.status), "{operation:?}: {response:?}");
        soon("applied on the other node", || operation.is_applied(pair.second, &fixture));
    }
    let refreshed = pair.second.refresh(&admin);
    assert_eq!(refreshed.status, 200, "{refreshed:?}");
    assert_eq!(pair.nodes().map(|node: Node| node.ready().status), [200, 200]);
    let warnings = pair.warnings();
    assert!(!warnings.iter().any(|line| line.contains("NOPERM")), "{warnings:?}");
    let denied = redis.cli(&["ACL", "LOG"]);
    assert!(!denied.contains("goat"), "{denied}");
    pair.stop();
}

#[test]
fn missing_right_is_named_by_check_and_start_and_is_no_wrong_password() {
    let redis = Redis::start(RedisOptions::default());
    let program = node_with(&Postgres::shared().create_database(), &url(&redis));
    for (change, expected) in [
        ("-evalsha", "the commands EVALSHA"),
        ("resetchannels", "its channels"),
        ("resetkeys", "its keys"),
        ("-info", "may not connect"),
    ] {
        assert_eq!(redis.cli(&documented()), "OK");
        assert_eq!(redis.cli(&["ACL", "SETUSER", "goat", change]), "OK");
        for command in ["check", "serve"] {
            let exit = program.run(&[command]);
            assert_eq!(exit.status, Some(78), "{exit:?}");
            let text = exit.text();
            assert!(text.contains("REDIS_URL: the Redis user "), "{exit:?}");
            assert!(text.contains(expected) && !text.contains("password"), "{exit:?}");
        }
    }
}
