//! The deployment files agree with the server: settings, paths, ports, times and permissions. No
//! container backend is needed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use serde_json::{Map, Value, json};

use crate::support::process::Program;

const DOCKERFILE: &str = include_str!("../../deploy/Dockerfile");
const COMPOSE: &str = include_str!("../../deploy/compose.yaml");
const KUBERNETES: &str = include_str!("../../deploy/kubernetes.yaml");

/// Generated from the table of settings, which another test checks.
const SETTINGS: &str = include_str!("../../.env.example");

/// The time to close the stores after the last request.
const CLOSE: Duration = Duration::from_secs(2);

fn parse(text: &str) -> Vec<Value> {
    let documents = Yaml::load_from_str(text).expect("it is YAML");
    documents.iter().map(to_json).map(merged).collect()
}

/// Applies the merge keys (`<<`) of the services of a compose file.
fn merged(mut document: Value) -> Value {
    let services = document.get_mut("services").and_then(Value::as_object_mut);
    for service in services.into_iter().flat_map(Map::values_mut) {
        let service = service.as_object_mut().expect("a service");
        let Some(Value::Object(shared)) = service.remove("<<") else { continue };
        for (name, value) in shared {
            service.entry(name).or_insert(value);
        }
    }
    document
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
        other => panic!("unexpected {other:?}"),
    }
}

/// All settings with their defaults.
fn settings() -> BTreeMap<&'static str, &'static str> {
    let lines = SETTINGS.lines().filter_map(|line| line.strip_prefix('#')?.split_once('='));
    lines
        .filter(|(name, _)| {
            name.bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
        })
        .collect()
}

/// The settings that a file mentions.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'));
    words.filter(|word| word.starts_with("GOAT_") || word.ends_with("_URL")).collect()
}

#[test]
fn every_mentioned_setting_exists() {
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

/// The instructions of the last stage of the image.
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
fn image_runs_unprivileged_and_contains_only_the_build() {
    let user: u32 = instruction("USER").parse().expect("a number, which an orchestrator can check");
    assert_ne!(user, 0);
    assert!(instruction("RUN").contains(&format!("--uid {user} ")), "the user is created");
    assert_eq!(instruction("ENTRYPOINT"), r#"["goat-server"]"#);
    assert_eq!(instruction("CMD"), r#"["serve"]"#);
    let copied = instruction("COPY");
    assert!(copied.starts_with("--from=build "), "nothing of the sources: {copied}");
    let environment = instruction("ENV");
    let port = instruction("EXPOSE");
    let listen = format!("GOAT_LISTEN=0.0.0.0:{port}");
    assert!(environment.split(' ').any(|one| one == listen), "{environment}");
    let data = environment.split(' ').find_map(|one| one.strip_prefix("GOAT_DATA_DIR="));
    assert_eq!(data, Some(&*instruction("VOLUME")), "generated files outlive the container");
    // The default port, on all addresses of the container.
    assert_eq!(settings()["GOAT_LISTEN"].rsplit_once(':').expect("a port").1, port);
}

/// C2: other machines can reach a container.
#[test]
fn image_runs_in_production_mode() {
    let environment = instruction("ENV");
    assert!(environment.split(' ').any(|one| one == "GOAT_ENV=production"), "{environment}");
}

/// C2: behind a proxy that is not trusted, all clients share the limits of its address.
#[test]
fn deployments_require_trusted_proxies() {
    let compose = parse(COMPOSE).remove(0);
    let server = &compose["services"]["server"]["environment"];
    assert_eq!(server["GOAT_ENV"], "production");
    let given = server["GOAT_TRUSTED_PROXIES"].as_str().expect("a variable");
    assert!(given.starts_with("${GOAT_TRUSTED_PROXIES:?"), "{given}");
    // The example is the gateway of the network, from which a proxy on the same machine connects.
    let network = &compose["networks"]["default"]["ipam"]["config"][0];
    let gateway = network["gateway"].as_str().expect("an address");
    assert!(COMPOSE.contains(&format!("#   echo GOAT_TRUSTED_PROXIES={gateway} >> .env\n")));

    let documents = parse(KUBERNETES);
    let (_, container) = pod(one(&documents, "Deployment"));
    assert_eq!(setting(container, "GOAT_ENV"), "production");
    let given = variable(container, "GOAT_TRUSTED_PROXIES").expect("a variable");
    let key = &given["valueFrom"]["configMapKeyRef"];
    assert_eq!(key, &json!({"name": "goat", "key": "trusted-proxies"}), "not optional");
    assert!(KUBERNETES.contains("kubectl create configmap goat --from-literal=trusted-proxies="));
}

/// The image carries the stripped program, and nothing is run in it but the program.
#[test]
fn image_carries_the_stripped_program() {
    assert_eq!(
        instruction("COPY"),
        "--from=build /goat/target/goat-server /usr/local/bin/goat-server"
    );
    assert!(DOCKERFILE.contains("\nRUN make build\n"));
    let makefile = include_str!("../../../Makefile");
    let (_, build) = makefile.split_once("\nbuild: ").expect("a target");
    let (build, _) = build.split_once("\n\n").expect("its end");
    let stripped =
        "objcopy --strip-all --add-gnu-debuglink=goat-server.debug release/goat-server goat-server";
    assert!(build.contains(stripped), "{build}");
    assert!(!DOCKERFILE.contains("bash"), "the image needs no shell");
}

/// The lines of `.env` in a container, and the variables that the compose file sets over them.
fn container_environment(
    service: &Value,
    dotenv: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    assert_eq!(service["env_file"], json!([".env"]), "every line is passed on");
    let mut environment = dotenv.clone();
    for (name, value) in service["environment"].as_object().expect("variables") {
        let mut value = value.as_str().expect("a text").to_owned();
        while let Some((before, rest)) = value.split_once("${") {
            let (variable, after) = rest.split_once('}').expect("its end");
            let variable = variable.split_once(":?").map_or(variable, |(name, _)| name);
            let given = dotenv.get(variable).map(String::as_str).unwrap_or_default();
            value = format!("{before}{given}{after}");
        }
        environment.insert(name.clone(), value);
    }
    environment
}

#[test]
fn compose_passes_every_setting_on() {
    // The addresses of the other containers, and of this one.
    const FIXED: [&str; 4] = ["GOAT_ENV", "GOAT_LISTEN", "DATABASE_URL", "REDIS_URL"];
    let compose = parse(COMPOSE).remove(0);
    let known = settings();
    let given = |name: &str| (name.to_owned(), format!("value-of-{name}"));
    let dotenv: BTreeMap<String, String> =
        known.keys().copied().chain(["POSTGRES_PASSWORD", "REDIS_PASSWORD"]).map(given).collect();
    for service in ["migrate", "server"] {
        let environment = container_environment(&compose["services"][service], &dotenv);
        for name in known.keys().filter(|name| !FIXED.contains(name)) {
            assert_eq!(environment[*name], dotenv[*name], "{service}: {name}");
        }
        assert_eq!(environment["GOAT_ENV"], "production");
        assert!(environment["DATABASE_URL"].contains(&dotenv["POSTGRES_PASSWORD"]));
        assert!(environment["REDIS_URL"].contains(&dotenv["REDIS_PASSWORD"]));
    }
    for service in ["postgres", "redis"] {
        assert!(compose["services"][service]["env_file"].is_null(), "{service} needs no keys");
    }
}

#[test]
fn health_check_of_the_image_follows_the_listener() {
    let check = instruction("HEALTHCHECK");
    let (options, command) = check.split_once("CMD ").expect("a command");
    let period = options.split(' ').find_map(|one| one.strip_prefix("--start-period="));
    assert!(seconds(period.expect("a start period")) > seconds(settings()["GOAT_START_TIMEOUT"]));
    assert_eq!(command, r#"["goat-server", "health"]"#);
    let run = |listen: String| {
        let program = Program::new().with("GOAT_ENV", "production").with("GOAT_LISTEN", &listen);
        let exit = program.run(&["health"]);
        assert_eq!(exit.out, "");
        match exit.status {
            Some(0) => true,
            Some(1) => false,
            _ => panic!("{exit:?}"),
        }
    };
    for listen in ["127.0.0.1", "0.0.0.0", "[::1]", "[::]"] {
        let (server, address) =
            Program::in_production().with("GOAT_LISTEN", &format!("{listen}:0")).serve();
        assert!(run(format!("{listen}:{}", address.port())), "{listen}: running");
        server.stop();
        assert!(!run(format!("{listen}:{}", address.port())), "{listen}: stopped");
    }
}

fn one<'a>(documents: &'a [Value], kind: &str) -> &'a Value {
    let found: Vec<_> = documents.iter().filter(|one| one["kind"] == kind).collect();
    assert_eq!(found.len(), 1, "{kind}");
    found[0]
}

/// The pod of a job or a deployment, and its only container.
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
fn pods_run_with_least_privileges() {
    let documents = parse(KUBERNETES);
    let user: u64 = instruction("USER").parse().expect("a number");
    for kind in ["Job", "Deployment"] {
        let (pod, container) = pod(one(&documents, kind));
        assert_eq!(pod["automountServiceAccountToken"], json!(false), "{kind}");
        assert_eq!(pod["enableServiceLinks"], json!(false), "{kind}: they look like settings");
        let security = &pod["securityContext"];
        assert_eq!(security["runAsNonRoot"], json!(true), "{kind}");
        assert_eq!(security["runAsUser"], json!(user), "{kind}: the user of the image");
        assert_eq!(security["seccompProfile"], json!({"type": "RuntimeDefault"}), "{kind}");
        let security = &container["securityContext"];
        assert_eq!(security["allowPrivilegeEscalation"], json!(false), "{kind}");
        assert_eq!(security["readOnlyRootFilesystem"], json!(true), "{kind}");
        assert_eq!(security["capabilities"], json!({"drop": ["ALL"]}), "{kind}");
        assert!(container["resources"]["limits"]["memory"].is_string(), "{kind}");
        assert!(pod["volumes"].is_null(), "{kind}: another test runs it without a writable folder");
    }
}

/// O2, W4.
#[test]
fn probes_use_the_right_ports_and_paths() {
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
    // W4: a single lost probe takes no replica out of service.
    assert_eq!(container["readinessProbe"]["failureThreshold"], json!(3));
    let ports: BTreeMap<&str, &Value> = container["ports"]
        .as_array()
        .expect("ports")
        .iter()
        .map(|port| (port["name"].as_str().expect("a name"), &port["containerPort"]))
        .collect();
    let startup = |name: &str| container["startupProbe"][name].as_u64().expect("a number");
    let starts = Duration::from_secs(startup("periodSeconds") * startup("failureThreshold"));
    assert!(starts > seconds(&setting(container, "GOAT_START_TIMEOUT")), "{starts:?}");
    for (name, listens) in [("http", "GOAT_LISTEN"), ("metrics", "GOAT_METRICS_LISTEN")] {
        assert_eq!(setting(container, listens), format!("0.0.0.0:{}", ports[name]));
    }
    for port in one(&documents, "Service")["spec"]["ports"].as_array().expect("ports") {
        let target = port["targetPort"].as_str().expect("a name");
        assert!(ports.contains_key(target), "{target}");
    }
    // All select the same pods.
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
fn termination_grace_period_covers_a_graceful_shutdown() {
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
    assert!(delay >= Duration::from_secs(noticed), "requests arrive until {noticed} s later");
    assert_eq!(deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"], json!(0));

    let compose = parse(COMPOSE).remove(0);
    let grace =
        seconds(compose["services"]["server"]["stop_grace_period"].as_str().expect("a time"));
    let default = |name: &str| seconds(settings()[name]);
    assert!(default("GOAT_DRAIN_DELAY") + default("GOAT_SHUTDOWN_TIMEOUT") + CLOSE < grace);
}

/// P7: the memory for hashes is allocated once and kept.
#[test]
fn memory_limit_is_twice_the_memory_of_concurrent_hashes() {
    let documents = parse(KUBERNETES);
    let (_, container) = pod(one(&documents, "Deployment"));
    let number = |name: &str| -> u64 { setting(container, name).parse().expect("a number") };
    let hashes = number("GOAT_HASH_CONCURRENCY") * number("GOAT_ARGON2_MEMORY") / 1024;
    let limit = container["resources"]["limits"]["memory"].as_str().expect("a size");
    let limit: u64 = limit.strip_suffix("Mi").expect("MiB").parse().expect("a number");
    assert!(2 * hashes <= limit, "{hashes} MiB of hashes in {limit} MiB");
}

/// L1: secrets come from outside, without defaults.
#[test]
fn files_contain_no_secrets() {
    let secret = [
        "DATABASE_URL",
        "REDIS_URL",
        "GOAT_JWT_PRIVATE_KEY",
        "GOAT_PASSWORD_PEPPER",
        "GOAT_ADMIN_PASSWORD",
    ];
    let documents = parse(KUBERNETES);
    // The job has no secret that a migration does not use.
    for (kind, unused) in [("Job", &secret[1..]), ("Deployment", &[])] {
        let (_, container) = pod(one(&documents, kind));
        assert!(unused.iter().all(|name| variable(container, name).is_none()), "{kind}");
        for name in secret.iter().filter(|name| !unused.contains(name)) {
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
    // The header of the file names every required variable.
    for name in &required {
        assert!(COMPOSE.lines().take(12).any(|line| line.contains(name.as_str())), "{name}");
    }
}

#[test]
fn databases_of_compose_are_private_and_evict_nothing() {
    let compose = parse(COMPOSE).remove(0);
    let services = &compose["services"];
    for backend in ["postgres", "redis"] {
        assert!(services[backend]["ports"].is_null(), "{backend}");
        assert!(services[backend]["healthcheck"]["test"].is_array(), "{backend}");
        let waits = &services["server"]["depends_on"][backend]["condition"];
        assert_eq!(waits, "service_healthy", "{backend}");
        let volume = services[backend]["volumes"][0].as_str().expect("a volume");
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
