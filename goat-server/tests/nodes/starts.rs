//! Starts on PostgreSQL: several at once, with secrets that differ, and those that are refused.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use goat_engines::{Postgres, PostgresOptions, Redis, RedisOptions};

use crate::support::node::{PEPPER, TOKEN_SECRET, bare, database, node, node_with};
use crate::support::process::{Site, json, message};

const CANARY: &str = "canary7Zp2";

/// Runs a start that is refused, and responses the last sentence that it says. None has the password
/// in it.
fn refused(site: &Site, status: i32) -> String {
    let begun = Instant::now();
    let mut server = site.launch();
    assert_eq!(server.begin(), Err(()), "it started");
    let (ended, said) = server.end();
    assert_eq!(ended, Some(status), "{said:?}");
    assert!(!said.iter().any(|line| line.contains(CANARY)), "{said:?}");
    // The time-out of a call is two seconds.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    message(&json(said.last().expect("a sentence")))
}

#[test]
fn two_first_starts_at_once_make_one_administrator() {
    for _ in 0..3 {
        let database = database();
        let (one, other) = (node(&database), node(&database));
        let (mut first, mut second) = (one.launch(), other.launch());
        first.address();
        second.address();
        let listed = one.run_well(&["user", "list"], "");
        assert_eq!(listed.lines().count(), 2, "{listed}");
        first.stop();
        second.stop();
    }
}

/// P5. Each made a pepper for itself: only one of them is that of the administrator's password.
#[test]
fn of_two_first_starts_with_peppers_of_their_own_one_is_refused() {
    let database = database();
    let site = || {
        bare(&database).with("GOAT_JWT_SECRET", TOKEN_SECRET).with("GOAT_MIGRATE_ON_START", "true")
    };
    let sites = [site(), site()];
    let servers = sites.each_ref().map(Site::launch);
    // Whichever lives is asked to leave; the other one has left.
    let mut refusals = Vec::new();
    for mut server in servers {
        match server.begin() {
            Ok(_) => drop(server.stop()),
            Err(()) => refusals.push(server.end()),
        }
    }
    let [(status, said)] = refusals.as_slice() else { panic!("one of them: {refusals:?}") };
    assert_eq!(*status, Some(78), "{said:?}");
    assert!(said.iter().any(|line| line.contains("data/pepper: ")), "{said:?}");
    assert!(said.iter().any(|line| line.contains("GOAT_PASSWORD_PEPPER")), "{said:?}");
}

/// P5.
#[test]
fn a_node_without_the_pepper_of_the_others_makes_none() {
    let database = database();
    let first = bare(&database).with("GOAT_MIGRATE_ON_START", "true");
    let (server, _) = first.serve();
    let second = bare(&database);
    let sentence = refused(&second, 78);
    assert!(sentence.contains("data/pepper is missing"), "{sentence}");
    assert!(sentence.contains("GOAT_PASSWORD_PEPPER"), "{sentence}");
    assert!(!second.path("data/pepper").exists());
    // With the folder of the first, it is one of them.
    fs::create_dir(second.path("data")).expect("a folder");
    for file in ["pepper", "jwt-key.pem"] {
        fs::copy(first.path("data").join(file), second.path("data").join(file)).expect(file);
    }
    let (other, _) = second.serve();
    other.stop();
    server.stop();
}

/// Every other request would be refused, so the start is.
#[test]
fn a_node_that_made_a_token_key_of_its_own_is_refused_beside_others() {
    let database = database();
    let site = || {
        bare(&database).with("GOAT_PASSWORD_PEPPER", PEPPER).with("GOAT_MIGRATE_ON_START", "true")
    };
    let (first, second) = (site(), site());
    let (server, _) = first.serve();
    let sentence = refused(&second, 78);
    assert!(sentence.starts_with("GOAT_JWT_PRIVATE_KEY: another node "), "{sentence}");
    // The key that was refused was not noted: the first one goes on starting.
    server.stop();
    let (server, _) = first.serve();
    fs::copy(first.path("data/jwt-key.pem"), second.path("data/jwt-key.pem")).expect("a copy");
    let (other, _) = second.serve();
    other.stop();
    server.stop();
}

/// Who changes the keys on purpose is warned and not stopped; who knows both is not even warned.
#[test]
fn a_node_that_was_given_another_token_key_than_the_others_says_so() {
    const OTHER: &str = "Zq5RmX1tVw8KyCn3LbPj7FhGd2SsEo9u";
    let database = database();
    let one = node(&database);
    let (server, _) = one.serve();
    let warnings = |site: &Site| {
        let (server, _) = site.serve();
        let said = server.stop();
        said.into_iter().filter(|line| line.contains("another node on this database")).count()
    };
    assert_eq!(warnings(&node(&database)), 0, "the same key");
    let both = format!("{OTHER},{TOKEN_SECRET}");
    assert_eq!(warnings(&node(&database).with("GOAT_JWT_SECRET", &both)), 0, "it knows it");
    let other = node(&database).with("GOAT_JWT_SECRET", OTHER);
    assert_eq!(warnings(&other), 1);
    // It was given on purpose, so the first finds out too.
    server.stop();
    assert_eq!(warnings(&one), 1);
}

/// O1.
#[test]
fn a_database_that_is_not_there_is_a_sentence_in_time_and_may_pass() {
    let url = format!("postgres://goat:{CANARY}@127.0.0.1:1/goat");
    let sentence = refused(&node(&url), 1);
    assert!(sentence.starts_with("DATABASE_URL: PostgreSQL is unavailable: "), "{sentence}");
    for arguments in [&["migrate"][..], &["check"], &["user", "list"]] {
        let ended = node(&url).run(arguments);
        assert_eq!(ended.status, Some(1), "{ended:?}");
        assert!(ended.err.starts_with("DATABASE_URL: PostgreSQL is unavailable: "), "{ended:?}");
        assert!(!ended.text().contains(CANARY), "{ended:?}");
    }
}

/// O1: it takes the connection and then says nothing.
#[test]
fn a_database_that_says_nothing_is_a_sentence_in_time_and_may_pass() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let url = format!("postgres://goat:{CANARY}@127.0.0.1:{port}/goat");
    let sentence = refused(&node(&url), 1);
    assert!(sentence.starts_with("DATABASE_URL: PostgreSQL is unavailable: "), "{sentence}");
}

/// O1.
#[test]
fn a_redis_that_is_not_there_is_a_sentence_in_time_and_may_pass() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let database = database();
    for urls in [
        format!("redis://:{CANARY}@127.0.0.1:1"),
        format!("redis://:{CANARY}@127.0.0.1:1,redis://:{CANARY}@127.0.0.1:2"),
        format!("redis://:{CANARY}@127.0.0.1:{port}"),
    ] {
        let sentence = refused(&node_with(&database, &urls), 1);
        assert!(sentence.starts_with("REDIS_URL: Redis is unavailable: "), "{sentence}");
    }
    // Both engines at once are told at once.
    let site = node_with("postgres://goat@127.0.0.1:1/goat", "redis://127.0.0.1:1");
    let messages = site.run(&["serve"]).messages();
    let starts: Vec<_> = messages.iter().filter_map(|text| text.split(':').next()).collect();
    assert_eq!(starts, ["DATABASE_URL", "REDIS_URL"], "{messages:?}");
}

#[test]
fn what_another_try_does_not_help_with_redis_is_told_from_what_may_pass() {
    let options = RedisOptions { password: Some("right".to_owned()), ..Default::default() };
    let redis = Redis::start(options);
    let database = database();
    let port = redis.port();
    for urls in [
        format!("redis://:{CANARY}@127.0.0.1:{port}"),
        format!("redis://{CANARY}:{CANARY}@127.0.0.1:{port}"),
        format!("redis://127.0.0.1:{port}"),
    ] {
        let sentence = refused(&node_with(&database, &urls), 78);
        let expected = "REDIS_URL: the Redis server rejects the user or the password";
        assert!(sentence.starts_with(expected), "{sentence}");
    }
    for urls in [
        format!("http://:{CANARY}@127.0.0.1:{port}"),
        format!("redis://:{CANARY}@127.0.0.1:port"),
        format!("redis://:{CANARY}@127.0.0.1:{port}?databse=1"),
        format!("redis://:{CANARY}@127.0.0.1:{port},http://{CANARY}"),
    ] {
        let sentence = refused(&node_with(&database, &urls), 78);
        assert!(sentence.starts_with("REDIS_URL: "), "{sentence}");
    }
    let site = node_with(&database, &redis.url());
    let (server, _) = site.serve();
    server.stop();
}

/// Speaks for a server that is as old as nothing that is installed anywhere.
fn old_redis() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().expect("a copy")).lines();
                // A command is an array of texts, each after a line with its length.
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
fn a_redis_that_is_too_old_is_refused() {
    let url = format!("redis://{}", old_redis());
    let sentence = refused(&node_with(&database(), &url), 78);
    assert!(sentence.contains("Redis 5.0.14, and goat needs Redis 6.0 or later"), "{sentence}");
}

#[test]
fn what_another_try_does_not_help_is_told_from_what_may_pass() {
    let options = PostgresOptions { password: Some("right".to_owned()), ..Default::default() };
    let postgres = Postgres::start(options);
    let port = postgres.port();
    for (url, expected) in [
        (format!("postgres://goat:{CANARY}@127.0.0.1:{port}/postgres"), "28P01"),
        (format!("postgres://nobody:{CANARY}@127.0.0.1:{port}/postgres"), "28P01"),
        (format!("postgres://goat:right@127.0.0.1:{port}/nowhere"), "3D000"),
    ] {
        let sentence = refused(&node(&url), 78);
        assert!(
            sentence.starts_with("DATABASE_URL: the PostgreSQL server rejects the connection"),
            "{sentence}"
        );
        assert!(sentence.contains(expected), "{sentence}");
    }
    for url in [
        format!("mysql://goat:{CANARY}@127.0.0.1:{port}/postgres"),
        format!("postgres://goat:{CANARY}@127.0.0.1:port/postgres"),
        format!("postgres://goat:{CANARY}@127.0.0.1:{port}/postgres?sslmod=require"),
    ] {
        let sentence = refused(&node(&url), 78);
        assert!(sentence.starts_with("DATABASE_URL: "), "{sentence}");
    }
    let site = node(&postgres.url());
    let (server, _) = site.serve();
    server.stop();
}
