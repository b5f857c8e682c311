//! Starts on PostgreSQL and Redis: concurrent, with different secrets, and refused.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use goat_engines::{Postgres, PostgresOptions, Redis, RedisOptions};

use crate::support::node::{PEPPER, TOKEN_SECRET, database, node, node_with, unconfigured_node};
use crate::support::process::{Program, json, message};

const CANARY: &str = "canary7Zp2";

/// Runs a start that must be refused, and returns the last message. No line contains the password.
fn refused(program: &Program, status: i32) -> String {
    let begun = Instant::now();
    let mut server = program.launch();
    assert_eq!(server.ready_or_exit(), Err(()), "the server started");
    let (exit, output) = server.wait();
    assert_eq!(exit, Some(status), "{output:?}");
    assert!(!output.iter().any(|line| line.contains(CANARY)), "{output:?}");
    // The timeout of a store call is two seconds.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    message(&json(output.last().expect("a message")))
}

#[test]
fn concurrent_first_starts_create_one_administrator() {
    for _ in 0..3 {
        let database = database();
        let (one, other) = (node(&database), node(&database));
        let (mut first, mut second) = (one.launch(), other.launch());
        first.address();
        second.address();
        let listed = one.run_ok(&["user", "list"], "");
        assert_eq!(listed.lines().count(), 2, "{listed}");
        first.stop();
        second.stop();
    }
}

/// P5: each generated its own pepper, and only one of them fits the administrator's password.
#[test]
fn of_two_first_starts_with_different_peppers_one_is_refused() {
    let database = database();
    let program = || {
        unconfigured_node(&database)
            .with("GOAT_JWT_SECRET", TOKEN_SECRET)
            .with("GOAT_MIGRATE_ON_START", "true")
    };
    let programs = [program(), program()];
    let servers = programs.each_ref().map(Program::launch);
    // The one that runs is shut down; the other has exited.
    let mut refusals = Vec::new();
    for mut server in servers {
        match server.ready_or_exit() {
            Ok(_) => drop(server.stop()),
            Err(()) => refusals.push(server.wait()),
        }
    }
    let [(status, output)] = refusals.as_slice() else { panic!("one of them: {refusals:?}") };
    assert_eq!(*status, Some(78), "{output:?}");
    assert!(output.iter().any(|line| line.contains("data/pepper: ")), "{output:?}");
    assert!(output.iter().any(|line| line.contains("GOAT_PASSWORD_PEPPER")), "{output:?}");
}

/// P5.
#[test]
fn node_without_the_pepper_is_refused_and_generates_none() {
    let database = database();
    let first = unconfigured_node(&database).with("GOAT_MIGRATE_ON_START", "true");
    let (server, _) = first.serve();
    let second = unconfigured_node(&database);
    let message = refused(&second, 78);
    assert!(message.contains("data/pepper is missing"), "{message}");
    assert!(message.contains("GOAT_PASSWORD_PEPPER"), "{message}");
    assert!(!second.path("data/pepper").exists());
    // With the files of the first node it starts.
    fs::create_dir(second.path("data")).expect("a folder");
    for file in ["pepper", "jwt-key.pem"] {
        fs::copy(first.path("data").join(file), second.path("data").join(file)).expect(file);
    }
    let (other, _) = second.serve();
    other.stop();
    server.stop();
}

/// Otherwise the nodes would reject each other's tokens.
#[test]
fn node_with_a_generated_token_key_is_refused_beside_others() {
    let database = database();
    let program = || {
        unconfigured_node(&database)
            .with("GOAT_PASSWORD_PEPPER", PEPPER)
            .with("GOAT_MIGRATE_ON_START", "true")
    };
    let (first, second) = (program(), program());
    let (server, _) = first.serve();
    let message = refused(&second, 78);
    assert!(message.starts_with("GOAT_JWT_PRIVATE_KEY: another node "), "{message}");
    // The refused key is not recorded: the first node still starts.
    server.stop();
    let (server, _) = first.serve();
    fs::copy(first.path("data/jwt-key.pem"), second.path("data/jwt-key.pem")).expect("a copy");
    let (other, _) = second.serve();
    other.stop();
    server.stop();
}

/// A configured key may differ: the node warns, unless it knows both keys.
#[test]
fn node_with_another_configured_token_key_warns() {
    const OTHER: &str = "Zq5RmX1tVw8KyCn3LbPj7FhGd2SsEo9u";
    let database = database();
    let one = node(&database);
    let (server, _) = one.serve();
    let warnings = |program: &Program| {
        let (server, _) = program.serve();
        let output = server.stop();
        output.into_iter().filter(|line| line.contains("another node on this database")).count()
    };
    assert_eq!(warnings(&node(&database)), 0, "the same key");
    let both = format!("{OTHER},{TOKEN_SECRET}");
    assert_eq!(warnings(&node(&database).with("GOAT_JWT_SECRET", &both)), 0, "both keys");
    let other = node(&database).with("GOAT_JWT_SECRET", OTHER);
    assert_eq!(warnings(&other), 1);
    // The key was recorded, so the first node warns too.
    server.stop();
    assert_eq!(warnings(&one), 1);
}

/// A node that tries its stores once.
fn impatient(program: Program) -> Program {
    program.with("GOAT_START_TIMEOUT", "0")
}

/// O1.
#[test]
fn unreachable_database_is_a_temporary_failure() {
    let url = format!("postgres://goat:{CANARY}@127.0.0.1:1/goat");
    let message = refused(&impatient(node(&url)), 1);
    assert!(message.starts_with("DATABASE_URL: PostgreSQL is unavailable: "), "{message}");
    assert!(message.contains("Connection refused"), "{message}");
    for arguments in [&["migrate"][..], &["check"], &["user", "list"]] {
        let exit = node(&url).run(arguments);
        assert_eq!(exit.status, Some(1), "{exit:?}");
        assert!(exit.err.starts_with("DATABASE_URL: PostgreSQL is unavailable: "), "{exit:?}");
        assert!(!exit.text().contains(CANARY), "{exit:?}");
    }
}

/// O1: it accepts the connection and does not respond.
#[test]
fn unresponsive_database_is_a_temporary_failure() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let url = format!("postgres://goat:{CANARY}@127.0.0.1:{port}/goat");
    let message = refused(&impatient(node(&url)), 1);
    assert!(message.starts_with("DATABASE_URL: PostgreSQL is unavailable: "), "{message}");
}

/// O1.
#[test]
fn unreachable_redis_is_a_temporary_failure() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let database = database();
    for urls in [
        format!("redis://:{CANARY}@127.0.0.1:1"),
        format!("redis://:{CANARY}@127.0.0.1:1,redis://:{CANARY}@127.0.0.1:2"),
        format!("redis://:{CANARY}@127.0.0.1:{port}"),
    ] {
        let message = refused(&impatient(node_with(&database, &urls)), 1);
        assert!(message.starts_with("REDIS_URL: Redis is unavailable: "), "{message}");
    }
    // Both backends are reported together.
    let program = impatient(node_with("postgres://goat@127.0.0.1:1/goat", "redis://127.0.0.1:1"));
    let messages = program.run(&["serve"]).messages();
    let starts: Vec<_> = messages.iter().filter_map(|text| text.split(':').next()).collect();
    assert_eq!(starts, ["DATABASE_URL", "REDIS_URL"], "{messages:?}");
}

/// O1: after a restart of the machine, nothing orders the starts.
#[test]
fn start_waits_for_stores_that_are_down() {
    let postgres = Postgres::start(PostgresOptions::default());
    let redis = Redis::start(RedisOptions::default());
    let program = node_with(&postgres.url(), &redis.url()).with("GOAT_START_TIMEOUT", "5m");
    postgres.stop();
    redis.stop();
    let mut server = program.launch();
    for begin in ["DATABASE_URL: PostgreSQL is unavailable", "REDIS_URL: Redis is unavailable"] {
        let warning = server.wait_for_message(begin);
        assert!(
            warning["retry_in"].is_string() && warning["giving_up_in"].is_string(),
            "{warning}"
        );
    }
    postgres.restart();
    server.wait_for_message("REDIS_URL: Redis is unavailable");
    redis.restart();
    server.address();
    server.stop();
}

#[test]
fn start_fails_once_its_time_is_over() {
    let program = node("postgres://goat@127.0.0.1:1/goat").with("GOAT_START_TIMEOUT", "6s");
    let (status, log) = program.launch().wait();
    assert_eq!(status, Some(1), "{log:?}");
    let levels: Vec<_> = log.iter().map(|line| json(line)["level"].clone()).collect();
    let (last, tries) = levels.split_last().expect("a message");
    assert_eq!(last, "ERROR", "{log:?}");
    assert!(!tries.is_empty() && tries.iter().all(|level| level == "WARN"), "{log:?}");
}

/// O3.
#[test]
fn start_that_waits_for_a_store_can_be_stopped() {
    let program = node("postgres://goat@127.0.0.1:1/goat").with("GOAT_START_TIMEOUT", "5m");
    let mut server = program.launch();
    server.wait_for_message("DATABASE_URL: PostgreSQL is unavailable");
    server.stop();
}

#[test]
fn rejected_redis_configuration_is_a_permanent_failure() {
    let options = RedisOptions { password: Some("right".to_owned()), ..Default::default() };
    let redis = Redis::start(options);
    let database = database();
    let port = redis.port();
    for urls in [
        format!("redis://:{CANARY}@127.0.0.1:{port}"),
        format!("redis://{CANARY}:{CANARY}@127.0.0.1:{port}"),
        format!("redis://127.0.0.1:{port}"),
    ] {
        let message = refused(&node_with(&database, &urls), 78);
        let expected = "REDIS_URL: the Redis server rejects the user or the password";
        assert!(message.starts_with(expected), "{message}");
    }
    for urls in [
        format!("http://:{CANARY}@127.0.0.1:{port}"),
        format!("redis://:{CANARY}@127.0.0.1:port"),
        format!("redis://:{CANARY}@127.0.0.1:{port}?databse=1"),
        format!("redis://:{CANARY}@127.0.0.1:{port},http://{CANARY}"),
    ] {
        let message = refused(&node_with(&database, &urls), 78);
        assert!(message.starts_with("REDIS_URL: "), "{message}");
    }
    let program = node_with(&database, &redis.url());
    let (server, _) = program.serve();
    server.stop();
}

/// Imitates an old Redis server.
fn old_redis() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().expect("a copy")).lines();
                // A command is an array of strings, each preceded by a line with its length.
                while let Some(Ok(count)) = lines.next() {
                    let count = count[1..].parse().expect("a count");
                    let mut words = (0..count).map(|_| {
                        let _length = lines.next();
                        lines.next().expect("a word").expect("text")
                    });
                    let name = words.next().expect("a name").to_ascii_uppercase();
                    words.for_each(drop);
                    let info = "redis_version:5.0.14\r\nredis_mode:standalone\r\nrole:master\r\n";
                    let response = match name.as_str() {
                        "INFO" => format!("${}\r\n{info}\r\n", info.len()),
                        "ROLE" => "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n".to_owned(),
                        "GET" => "$-1\r\n".to_owned(),
                        _ => "+OK\r\n".to_owned(),
                    };
                    if stream.write_all(response.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[test]
fn old_redis_is_refused() {
    let url = format!("redis://{}", old_redis());
    let message = refused(&node_with(&database(), &url), 78);
    assert!(message.contains("Redis 5.0.14, and goat needs Redis 6.0 or later"), "{message}");
}

#[test]
fn rejected_database_configuration_is_a_permanent_failure() {
    let options = PostgresOptions { password: Some("right".to_owned()), ..Default::default() };
    let postgres = Postgres::start(options);
    let port = postgres.port();
    for (url, expected) in [
        (
            format!("postgres://goat:{CANARY}@127.0.0.1:{port}/postgres"),
            "the PostgreSQL server rejects the user or the password; check both in the URL",
        ),
        (
            format!("postgres://nobody:{CANARY}@127.0.0.1:{port}/postgres"),
            "the PostgreSQL server rejects the user or the password; check both in the URL",
        ),
        (
            format!("postgres://goat:right@127.0.0.1:{port}/nowhere"),
            "the PostgreSQL server has no such database; create it, or correct its name in the URL",
        ),
        (
            format!("postgres://goat:right@127.0.0.1:{port}/postgres?sslmod=require"),
            "the PostgreSQL URL has an unknown parameter sslmod; supported are sslmode",
        ),
        (
            format!("postgres://goat:right@127.0.0.1:{port}/postgres?sslmode=require"),
            "no TLS connection to the PostgreSQL server; check sslmode and sslrootcert in the URL",
        ),
    ] {
        let message = refused(&node(&url), 78);
        assert!(message.starts_with(&format!("DATABASE_URL: {expected}")), "{message}");
    }
    for url in [
        format!("mysql://goat:{CANARY}@127.0.0.1:{port}/postgres"),
        format!("postgres://goat:{CANARY}@127.0.0.1:port/postgres"),
        format!("postgres://goat:{CANARY}@127.0.0.1:{port}/postgres?sslmod=require"),
    ] {
        let message = refused(&node(&url), 78);
        assert!(message.starts_with("DATABASE_URL: "), "{message}");
    }
    let program = node(&postgres.url());
    let (server, _) = program.serve();
    server.stop();
}
