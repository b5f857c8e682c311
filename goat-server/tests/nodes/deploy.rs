//! The program with the environments of the deployment files.

use std::collections::BTreeMap;

use goat_core::token::TokenKeys;
use goat_engines::{Redis, RedisOptions};
use saphyr::{LoadableYamlNode as _, Yaml};

use crate::support::node::{Node, PASSWORD, PEPPER, TOKEN_SECRET, database};
use crate::support::process::{ADMIN_PASSWORD, Program};

const COMPOSE: &str = include_str!("../../deploy/compose.yaml");
const KUBERNETES: &str = include_str!("../../deploy/kubernetes.yaml");

/// The value of a secret of the cluster or of a line of `.env`.
fn secret(name: &str) -> String {
    match name {
        "jwt-private-key" => TokenKeys::generate_pem().expose().clone(),
        "GOAT_JWT_SECRET" => TOKEN_SECRET.to_owned(),
        "password-pepper" | "GOAT_PASSWORD_PEPPER" => PEPPER.to_owned(),
        "admin-password" | "GOAT_ADMIN_PASSWORD" => ADMIN_PASSWORD.to_owned(),
        "admin-email" | "GOAT_ADMIN_EMAIL" => "ann@example.org".to_owned(),
        "trusted-proxies" | "GOAT_TRUSTED_PROXIES" => "10.244.0.0/16".to_owned(),
        "POSTGRES_PASSWORD" | "REDIS_PASSWORD" => "0123456789abcdef".to_owned(),
        "database-url" | "redis-url" => "replaced".to_owned(),
        _ => panic!("unknown secret {name}"),
    }
}

/// The key of a secret or a setting of the cluster.
fn reference<'y>(source: &'y Yaml<'_>) -> &'y str {
    let kinds = ["secretKeyRef", "configMapKeyRef"];
    let found = kinds.iter().find_map(|kind| source.as_mapping_get(kind));
    found.expect("a reference")["key"].as_str().expect("a key")
}

/// The environment of the container of a workload.
fn of_kubernetes(kind: &str) -> BTreeMap<String, String> {
    let documents = Yaml::load_from_str(KUBERNETES).expect("YAML");
    let workload = documents.iter().find(|one| one["kind"].as_str() == Some(kind)).expect(kind);
    let container = &workload["spec"]["template"]["spec"]["containers"][0];
    let variable = |one: &Yaml<'_>| {
        let value = match one.as_mapping_get("value") {
            Some(value) => value.as_str().expect("a text").to_owned(),
            None => secret(reference(&one["valueFrom"])),
        };
        (one["name"].as_str().expect("a name").to_owned(), value)
    };
    container["env"].as_vec().expect("variables").iter().map(variable).collect()
}

/// The lines of `.env` that the header of the compose file writes, and the settings over them.
fn of_compose(service: &str) -> BTreeMap<String, String> {
    const LINES: [&str; 7] = [
        "POSTGRES_PASSWORD",
        "REDIS_PASSWORD",
        "GOAT_JWT_SECRET",
        "GOAT_PASSWORD_PEPPER",
        "GOAT_ADMIN_PASSWORD",
        "GOAT_ADMIN_EMAIL",
        "GOAT_TRUSTED_PROXIES",
    ];
    assert!(LINES.iter().all(|name| COMPOSE.lines().take(10).any(|line| line.contains(name))));
    let documents = Yaml::load_from_str(COMPOSE).expect("YAML");
    let shared = &documents[0]["services"][service]["<<"];
    assert_eq!(shared["env_file"][0].as_str(), Some(".env"));
    let environment = &shared["environment"];
    let variable = |(name, value): (&Yaml<'_>, &Yaml<'_>)| {
        let value = value.as_str().expect("a text");
        let value = match value.split_once("${") {
            None => value.to_owned(),
            Some((before, rest)) => {
                let (name, rest) = rest.split_once(":?").expect("a required variable");
                let (_, after) = rest.split_once('}').expect("its end");
                format!("{before}{}{after}", secret(name))
            }
        };
        (name.as_str().expect("a name").to_owned(), value)
    };
    let lines = LINES.map(|name| (name.to_owned(), secret(name)));
    let given = environment.as_mapping().expect("variables").iter().map(variable);
    lines.into_iter().chain(given).collect()
}

/// A program with this environment, except for the addresses of the backends and listeners, and with
/// fewer connections, since the limit on open files may be low here.
fn program(environment: &BTreeMap<String, String>, database: &str, redis: &str) -> Program {
    let fewer = Program::new().with("GOAT_MAX_CONNECTIONS", "100");
    environment.iter().fold(fewer, |program, (name, value)| {
        let value = match name.as_str() {
            "DATABASE_URL" => database,
            "REDIS_URL" => redis,
            "GOAT_LISTEN" | "GOAT_METRICS_LISTEN" => "127.0.0.1:0",
            "GOAT_DRAIN_DELAY" => "0s",
            _ => value,
        };
        program.with(name, value)
    })
}

/// Nothing is written to the file system of the container, which is read-only.
#[test]
fn deployed_configuration_migrates_and_serves_without_writing_files() {
    let redis = Redis::start(RedisOptions::default());
    for (migrate, serve) in [
        (of_kubernetes("Job"), of_kubernetes("Deployment")),
        (of_compose("migrate"), of_compose("server")),
    ] {
        assert_eq!(serve["GOAT_ENV"], "production");
        let database = database();
        let job = program(&migrate, &database, &redis.url());
        // Nodes of a new version do not start before the migration.
        let early = program(&serve, &database, &redis.url()).run(&["serve"]);
        assert_eq!(early.status, Some(78), "{early:?}");
        let output = job.run_ok(&["migrate"], "");
        assert!(output.starts_with("migrated: initial\n"), "{output}");
        let program = program(&serve, &database, &redis.url());
        let (server, address) = program.serve();
        let node = Node::at(address);
        assert_eq!(node.ready().status, 200);
        let response = node.try_login("ann@example.org", ADMIN_PASSWORD);
        assert_eq!(response.status, 200, "{response:?}");
        node.sign_up("bo@example.org");
        assert_eq!(node.try_login("bo@example.org", PASSWORD).status, 200);
        let output = server.stop();
        // A busy machine may lose heartbeats; any other warning is about the configuration.
        let warned = |line: &&String| line.contains("WARN") && !line.contains("invalidation");
        assert_eq!(output.iter().find(warned), None, "{output:?}");
        for program in [job, program] {
            let mut left = std::fs::read_dir(program.path("")).expect("a folder");
            assert!(left.next().is_none(), "{left:?}");
        }
    }
}
