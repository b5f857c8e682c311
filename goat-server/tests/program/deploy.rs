//! The files that people deploy with, held to what the server says of itself: no container engine is
//! asked, but every name, path, port, time and right that they mention is looked up.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::time::Duration;

use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use serde_json::{Map, Value, json};

use crate::support::process::Site;

const DOCKERFILE: &str = include_str!("../../deploy/Dockerfile");
const COMPOSE: &str = include_str!("../../deploy/compose.yaml");
const KUBERNETES: &str = include_str!("../../deploy/kubernetes.yaml");

/// Made from the table of settings, which another test holds.
const SETTINGS: &str = include_str!("../../.env.example");

/// What the server takes to close its stores when all requests are done.
const CLOSE: Duration = Duration::from_secs(2);

fn parse(text: &str) -> Vec<Value> {
    let documents = Yaml::load_from_str(text).expect("it is YAML");
    documents.iter().map(to_json).collect()
}

fn to_json(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => json!(value),
        Yaml::Value(Scalar::Integer(value)) => json!(value),
        Yaml::Value(Scalar::FloatingPoint(value)) => json!(value.into_inner()),
        Yaml::Value(Scalar::String(value)) => json!(value),
        Yaml::Sequence(items) => items.iter().map(to_json).collect(),
        Yaml::Mapping(entries) => {
            let mut object = Map::new();
            for (key, value) in entries {
                let key = key.as_str().expect("a name").to_owned();
                assert!(object.insert(key.clone(), to_json(value)).is_none(), "{key} twice");
            }
            Value::Object(object)
        }
        other => panic!("what is {other:?}?"),
    }
}

/// The names of all settings, each with its default where it has one.
fn settings() -> BTreeMap<&'static str, &'static str> {
    let lines = SETTINGS.lines().filter_map(|line| line.strip_prefix('#')?.split_once('='));
    lines
        .filter(|(name, _)| {
            name.bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
        })
        .collect()
}

/// The settings that a text names.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'));
    words.filter(|word| word.starts_with("GOAT_") || word.ends_with("_URL")).collect()
}

#[test]
fn every_setting_that_a_file_names_is_one() {
    let known = settings();
    assert!(known.len() >= 50, "{known:?}");
    for (file, text) in
        [("Dockerfile", DOCKERFILE), ("compose", COMPOSE), ("kubernetes", KUBERNETES)]
    {
        let names = named(text);
        assert!(!names.is_empty(), "{file}");
        for name in names {
            assert!(known.contains_key(name), "{file}: {name}");
        }
    }
}

/// The lines of the last stage of the image, an instruction each.
fn image() -> Vec<(String, String)> {
    let (_, last) = DOCKERFILE.rsplit_once("\nFROM ").expect("several stages");
    let last = format!("FROM {last}").replace("\\\n", " ");
    let lines = last.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let split = |line: &str| {
        let (word, rest) = line.split_once(' ').expect("an instruction");
        (word.to_owned(), rest.trim().to_owned())
    };
    lines.map(split).collect()
}

fn instruction(word: &str) -> String {
    let all: Vec<_> = image().into_iter().filter(|(one, _)| one == word).collect();
    assert_eq!(all.len(), 1, "{word}: {all:?}");
    all.into_iter().next().expect("one").1
}

#[test]
fn the_image_runs_the_server_as_nobody_and_has_what_was_built_and_no_more() {
    let user: u32 = instruction("USER").parse().expect("a number, which an orchestrator can judge");
    assert_ne!(user, 0);
    assert!(instruction("RUN").contains(&format!("--uid {user} ")), "the user is made");
    assert_eq!(instruction("ENTRYPOINT"), r#"["goat-server"]"#);
    assert_eq!(instruction("CMD"), r#"["serve"]"#);
    let copied = instruction("COPY");
    assert!(copied.starts_with("--from=build "), "nothing of the sources: {copied}");
    let environment = instruction("ENV");
    let port = instruction("EXPOSE");
    let listen = format!("GOAT_LISTEN=0.0.0.0:{port}");
    assert!(environment.split(' ').any(|one| one == listen), "{environment}");
    let data = environment.split(' ').find_map(|one| one.strip_prefix("GOAT_DATA_DIR="));
    assert_eq!(data, Some(&*instruction("VOLUME")), "what is generated outlives the container");
    // The address is the container's own; the port is that of the default.
    assert_eq!(settings()["GOAT_LISTEN"].rsplit_once(':').expect("a port").1, port);
}

/// The image has bash and grep, and nothing that speaks HTTP.
#[test]
fn the_health_check_of_the_image_tells_a_server_that_lives_from_one_that_does_not() {
    let check = instruction("HEALTHCHECK");
    let (_, command) = check.split_once("CMD ").expect("a command");
    let words: Vec<String> = serde_json::from_str(command).expect("a list of words");
    let port = instruction("EXPOSE");
    assert!(words[2].contains(&format!("127.0.0.1/{port} ")), "{words:?}");
    let site = Site::new();
    let (server, address) = site.serve();
    let run = || {
        let script = words[2].replace(&port, &address.port().to_string());
        let mut command = Command::new(&words[0]);
        let output = command.arg(&words[1]).arg(script).stdin(Stdio::null()).output();
        output.expect("bash runs").status.success()
    };
    assert!(run(), "it lives");
    server.stop();
    assert!(!run(), "it is gone");
}

fn one<'a>(documents: &'a [Value], kind: &str) -> &'a Value {
    let found: Vec<_> = documents.iter().filter(|one| one["kind"] == kind).collect();
    assert_eq!(found.len(), 1, "{kind}");
    found[0]
}

/// The pod of a job or a deployment, and its one container.
fn pod(workload: &Value) -> (&Value, &Value) {
    let pod = &workload["spec"]["template"]["spec"];
    let containers = pod["containers"].as_array().expect("containers");
    assert_eq!(containers.len(), 1);
    (pod, &containers[0])
}

/// A variable of a container.
fn variable<'a>(container: &'a Value, name: &str) -> Option<&'a Value> {
    container["env"].as_array().expect("variables").iter().find(|one| one["name"] == name)
}

fn seconds(text: &str) -> Duration {
    let seconds = text.strip_suffix('s').and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or_else(|| panic!("{text} is no number of seconds")))
}

/// A setting of a container, or its default.
fn setting(container: &Value, name: &str) -> String {
    match variable(container, name) {
        Some(given) => given["value"].as_str().expect(name).to_owned(),
        None => settings()[name].to_owned(),
    }
}

#[test]
fn pods_have_no_right_that_the_server_does_not_need() {
    let documents = parse(KUBERNETES);
    let user: u64 = instruction("USER").parse().expect("a number");
    for kind in ["Job", "Deployment"] {
        let (pod, container) = pod(one(&documents, kind));
        assert_eq!(pod["automountServiceAccountToken"], json!(false), "{kind}");
        let security = &pod["securityContext"];
        assert_eq!(security["runAsNonRoot"], json!(true), "{kind}");
        assert_eq!(security["runAsUser"], json!(user), "{kind}: that of the image");
        assert_eq!(security["seccompProfile"], json!({"type": "RuntimeDefault"}), "{kind}");
        let security = &container["securityContext"];
        assert_eq!(security["allowPrivilegeEscalation"], json!(false), "{kind}");
        assert_eq!(security["readOnlyRootFilesystem"], json!(true), "{kind}");
        assert_eq!(security["capabilities"], json!({"drop": ["ALL"]}), "{kind}");
        assert!(container["resources"]["limits"]["memory"].is_string(), "{kind}");
        assert!(pod["volumes"].is_null(), "{kind}: a test runs it where it can write nothing");
    }
}

/// O2.
#[test]
fn probes_ask_at_the_port_that_is_listened_on_for_what_each_is_to_tell() {
    let documents = parse(KUBERNETES);
    let deployment = one(&documents, "Deployment");
    let (_, container) = pod(deployment);
    for (probe, path) in [
        ("startupProbe", "/api/health"),
        ("livenessProbe", "/api/health"),
        ("readinessProbe", "/api/ready"),
    ] {
        assert_eq!(container[probe]["httpGet"], json!({"path": path, "port": "http"}));
    }
    let ports: BTreeMap<&str, &Value> = container["ports"]
        .as_array()
        .expect("ports")
        .iter()
        .map(|port| (port["name"].as_str().expect("a name"), &port["containerPort"]))
        .collect();
    for (name, listens) in [("http", "GOAT_LISTEN"), ("metrics", "GOAT_METRICS_LISTEN")] {
        assert_eq!(setting(container, listens), format!("0.0.0.0:{}", ports[name]));
    }
    for port in one(&documents, "Service")["spec"]["ports"].as_array().expect("ports") {
        let target = port["targetPort"].as_str().expect("a name");
        assert!(ports.contains_key(target), "{target}");
    }
    // All speak of the same pods.
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    assert_eq!(&deployment["spec"]["selector"]["matchLabels"], labels);
    assert_eq!(&one(&documents, "Service")["spec"]["selector"], labels);
    let budget = &one(&documents, "PodDisruptionBudget")["spec"];
    assert_eq!(&budget["selector"]["matchLabels"], labels);
    assert!(budget["minAvailable"].as_u64() < deployment["spec"]["replicas"].as_u64());
    assert_ne!(&one(&documents, "Job")["spec"]["template"]["metadata"]["labels"], labels);
}

/// O3.
#[test]
fn a_pod_that_is_replaced_has_the_time_to_lose_nothing() {
    let documents = parse(KUBERNETES);
    let deployment = one(&documents, "Deployment");
    let (pod, container) = pod(deployment);
    let delay = seconds(&setting(container, "GOAT_DRAIN_DELAY"));
    let shutdown = seconds(&setting(container, "GOAT_SHUTDOWN_TIMEOUT"));
    let grace =
        Duration::from_secs(pod["terminationGracePeriodSeconds"].as_u64().expect("seconds"));
    assert!(delay + shutdown + CLOSE < grace, "{delay:?} {shutdown:?} {grace:?}");
    let number = |name: &str| container["readinessProbe"][name].as_u64().expect("a number");
    let noticed = (number("periodSeconds") + number("timeoutSeconds")) * number("failureThreshold");
    assert!(delay >= Duration::from_secs(noticed), "requests come until {noticed} s after");
    assert_eq!(deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"], json!(0));

    let compose = parse(COMPOSE).remove(0);
    let grace =
        seconds(compose["services"]["server"]["stop_grace_period"].as_str().expect("a time"));
    let default = |name: &str| seconds(settings()[name]);
    assert!(default("GOAT_DRAIN_DELAY") + default("GOAT_SHUTDOWN_TIMEOUT") + CLOSE < grace);
}

/// P7: the memory of hashes is allocated once and kept.
#[test]
fn the_memory_of_a_pod_holds_all_hashes_at_once_twice_over() {
    let documents = parse(KUBERNETES);
    let (_, container) = pod(one(&documents, "Deployment"));
    let number = |name: &str| -> u64 { setting(container, name).parse().expect("a number") };
    let hashes = number("GOAT_HASH_CONCURRENCY") * number("GOAT_ARGON2_MEMORY") / 1024;
    let limit = container["resources"]["limits"]["memory"].as_str().expect("a size");
    let limit: u64 = limit.strip_suffix("Mi").expect("MiB").parse().expect("a number");
    assert!(2 * hashes <= limit, "{hashes} MiB of hashes in {limit} MiB");
}

/// L1: what is secret comes from outside, and no default stands in for what is missing.
#[test]
fn no_file_holds_a_secret() {
    let secret = [
        "DATABASE_URL",
        "REDIS_URL",
        "GOAT_JWT_PRIVATE_KEY",
        "GOAT_PASSWORD_PEPPER",
        "GOAT_ADMIN_PASSWORD",
    ];
    let documents = parse(KUBERNETES);
    for (kind, wanted) in [("Job", &["REDIS_URL"][..]), ("Deployment", &[])] {
        let (_, container) = pod(one(&documents, kind));
        for name in secret.iter().filter(|name| !wanted.contains(name)) {
            let given = variable(container, name).unwrap_or_else(|| panic!("{kind}: {name}"));
            assert!(given["valueFrom"]["secretKeyRef"]["key"].is_string(), "{kind}: {name}");
            assert!(given["value"].is_null(), "{kind}: {name}");
        }
    }
    let compose = parse(COMPOSE).remove(0);
    let mut required = BTreeSet::new();
    for (service, definition) in compose["services"].as_object().expect("services") {
        for (name, value) in definition["environment"].as_object().expect("variables") {
            let value = value.as_str().unwrap_or_else(|| panic!("{service}: {name}"));
            let is_secret = secret.contains(&&**name)
                || ["PASSWORD", "SECRET", "PEPPER"].iter().any(|part| name.contains(part));
            if !is_secret {
                continue;
            }
            let (_, variable) =
                value.split_once("${").unwrap_or_else(|| panic!("{service}: {name}"));
            let (variable, rest) = variable
                .split_once(":?")
                .unwrap_or_else(|| panic!("{service}: {name} may be left empty"));
            assert!(rest.contains('}'));
            required.insert(variable.to_owned());
        }
    }
    // What the first lines of the file say to write is all that it asks for.
    for name in &required {
        assert!(COMPOSE.lines().take(12).any(|line| line.contains(name.as_str())), "{name}");
    }
}

#[test]
fn engines_of_compose_are_seen_by_the_server_alone_and_evict_nothing() {
    let compose = parse(COMPOSE).remove(0);
    let services = &compose["services"];
    for engine in ["postgres", "redis"] {
        assert!(services[engine]["ports"].is_null(), "{engine}");
        assert!(services[engine]["healthcheck"]["test"].is_array(), "{engine}");
        let waits = &services["server"]["depends_on"][engine]["condition"];
        assert_eq!(waits, "service_healthy", "{engine}");
        let volume = services[engine]["volumes"][0].as_str().expect("a volume");
        let (volume, _) = volume.split_once(':').expect("a place");
        assert!(compose["volumes"].as_object().expect("volumes").contains_key(volume));
    }
    let redis = services["redis"]["command"].to_string();
    assert!(redis.contains("--maxmemory-policy noeviction --appendonly yes"), "{redis}");
    let migrated = &services["server"]["depends_on"]["migrate"]["condition"];
    assert_eq!(migrated, "service_completed_successfully");
    assert_eq!(services["migrate"]["command"], json!(["migrate"]));
    for service in ["migrate", "server"] {
        assert_eq!(services[service]["read_only"], json!(true), "{service}");
        assert_eq!(services[service]["cap_drop"], json!(["ALL"]), "{service}");
    }
    for port in services["server"]["ports"].as_array().expect("ports") {
        assert_eq!(port, &json!(format!("127.0.0.1:8080:{}", instruction("EXPOSE"))));
    }
}
