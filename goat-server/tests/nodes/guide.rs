//! The session with two nodes in the guide, run as written.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use goat_engines::{Redis, RedisOptions};

use crate::support::node::{database, shows_redis_version};

const SEVERAL_NODES: &str = include_str!("../../guide/several-nodes.md");

/// The listeners of the two nodes in the session.
const PORTS: [&str; 2] = ["127.0.0.1:8081", "127.0.0.1:8082"];

#[test]
fn session_of_the_guide_for_several_nodes_works_as_written() {
    let (_, rest) = SEVERAL_NODES.split_once("```sh\n").expect("a shell block");
    let (session, _) = rest.split_once("```").expect("its end");
    let redis = Redis::start(RedisOptions::default());
    let folder = tempfile::tempdir().expect("a folder");
    let mut session = session
        .replace("postgres://goat:secret@127.0.0.1:5432/goat", &database())
        .replace("redis://127.0.0.1:6379", &redis.url());
    let free = PORTS.map(|_| TcpListener::bind("127.0.0.1:0").expect("a port"));
    for (port, free) in PORTS.iter().zip(&free) {
        let free = free.local_addr().expect("an address").to_string();
        assert!(session.contains(port));
        session = session.replace(port, &free);
    }
    drop(free);
    let program = Path::new(env!("CARGO_BIN_EXE_goat-server")).parent().expect("a folder");
    // Each call of curl also prints its status to stderr. The nodes write to the same streams, so that
    // these end when the nodes exit.
    let script =
        format!("curl() {{ command curl -w '%{{stderr}}%{{http_code}}\\n' \"$@\"; }}\n{session}");
    let output = Command::new("timeout")
        .args(["60", "bash", "-c", &script])
        .current_dir(folder.path())
        .env_clear()
        .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", program.display()))
        .stdin(Stdio::null())
        .output()
        .expect("bash runs");
    let printed = String::from_utf8(output.stdout).expect("text");
    let stderr = String::from_utf8(output.stderr).expect("text");
    let statuses: Vec<&str> =
        stderr.lines().filter(|line| line.parse().is_ok_and(|status: u16| status > 0)).collect();
    assert_eq!(
        statuses,
        ["200", "200", "201", "200", "200", "204", "401"],
        "both are ready, sign up, sign in, profile, logged out, refused:\n{printed}\n{stderr}"
    );
    assert!(printed.contains(r#""code":"session-revoked""#), "{printed}");
    assert!(printed.starts_with("migrated: initial\n"), "{printed}");
    assert!(
        printed.contains("database: PostgreSQL ") && shows_redis_version(&printed),
        "{printed}"
    );
    assert_eq!(printed.matches("\"stopped\"").count(), 2, "{printed}");
}
