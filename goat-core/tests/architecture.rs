//! The direction of dependencies, read from the `crate::…` paths in the source: a module uses its own
//! floor and the floors below, and the modules of one floor form no cycle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The floors, from the lowest to the highest, with their modules.
const FLOORS: [(&str, &[&str]); 5] = [
    (
        "basics",
        &[
            "error",
            "id",
            "secret",
            "clock",
            "crockford",
            "language",
            "page",
            "quota",
            "sync",
            "single_flight",
            "detached",
        ],
    ),
    (
        "values",
        &[
            "access",
            "challenge",
            "courier",
            "factor",
            "proof",
            "session",
            "key",
            "user",
            "limit",
            "password",
            "token",
            "invalidation",
            "settings",
            "event",
        ],
    ),
    ("stores", &["store"]),
    ("services", &["service"]),
    ("handle", &["goat", "builder"]),
];

/// Modules beside the floors: the crate root re-exports from all of them, and the tools for tests use
/// what they help to test.
const BESIDE: [&str; 2] = ["lib", "testing"];

/// The one pair that uses one another by design: a handle and its builder.
const HANDLE: [&str; 2] = ["builder", "goat"];

/// Services of the values floor, which a storage backend must not use.
const SERVICES: [&str; 3] = ["Limits", "Tokens", "HashBulkhead"];

struct Source {
    path: PathBuf,
    /// The first segment below `src`.
    module: String,
    /// The paths after `crate::`, one for each leaf.
    uses: Vec<String>,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    collect(&root, &root, &mut found);
    assert!(found.len() > 50, "the walk must find the source files");
    found
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).expect("a folder of the source") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(root, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test(&path) {
            let text = fs::read_to_string(&path).expect("a source file");
            let below = path.strip_prefix(root).expect("a path below the root");
            let module = below.iter().next().expect("a segment").to_string_lossy();
            let module = module.trim_end_matches(".rs").to_owned();
            found.push(Source { module, uses: uses_of(&text), path });
        }
    }
}

/// Whether a file contains only unit tests, which may use everything.
fn is_test(path: &Path) -> bool {
    path.iter().any(|segment| segment == "tests" || segment == "tests.rs")
}

/// Returns the paths after `crate::` in the code of a file, without comments and unit tests.
fn uses_of(text: &str) -> Vec<String> {
    let code: String = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .expect("a first part")
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line.trim(), "\n"])
        .collect();
    let mut paths = Vec::new();
    for part in code.split("crate::").skip(1) {
        let end = part.find([';', '\n', '(', ')', '>', ',', ' ']).unwrap_or(part.len());
        let end = if part[..end].contains('{') {
            let close = part.find("};").unwrap_or(part.len());
            close.max(end)
        } else {
            end
        };
        let path = &part[..end];
        match path.split_once("::{") {
            Some((before, leaves)) => paths.extend(
                leaves
                    .split([',', '{', '}'])
                    .map(str::trim)
                    .filter(|leaf| !leaf.is_empty())
                    .map(|leaf| format!("{before}::{leaf}")),
            ),
            None => paths.push(path.to_owned()),
        }
    }
    paths
}

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|(_, modules)| modules.contains(&module))
}

/// Returns the violations of the floors, one line each.
fn upward_uses(sources: &[Source]) -> Vec<String> {
    let mut violations = Vec::new();
    for source in sources.iter().filter(|source| !BESIDE.contains(&source.module.as_str())) {
        let Some(floor) = floor_of(&source.module) else {
            violations.push(format!("{} is on no floor", source.module));
            continue;
        };
        for path in &source.uses {
            let used = path.split("::").next().expect("a segment");
            if floor_of(used).is_none_or(|used| used > floor) {
                violations.push(format!("{} uses crate::{path}", source.path.display()));
            }
        }
    }
    violations
}

/// Returns the groups of modules of one floor that use one another, directly or indirectly.
fn cycles(sources: &[Source]) -> Vec<Vec<String>> {
    let mut edges: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for source in sources.iter().filter(|source| floor_of(&source.module).is_some()) {
        let used = source.uses.iter().filter_map(|path| path.split("::").next());
        let used = used.filter(|used| *used != source.module);
        let same_floor = used.filter(|used| floor_of(used) == floor_of(&source.module));
        edges.entry(&source.module).or_default().extend(same_floor);
    }
    let reachable = |from: &str| {
        let mut reached = BTreeSet::new();
        let mut next: Vec<&str> = edges.get(from).into_iter().flatten().copied().collect();
        while let Some(module) = next.pop() {
            if reached.insert(module) {
                next.extend(edges.get(module).into_iter().flatten());
            }
        }
        reached
    };
    let reached: BTreeMap<&str, _> =
        edges.keys().map(|module| (*module, reachable(module))).collect();
    let mut groups = BTreeSet::new();
    for (module, reaches) in &reached {
        let is_mutual = |other: &&str| reached.get(other).is_some_and(|back| back.contains(module));
        let group: Vec<String> =
            reaches.iter().copied().filter(|other| is_mutual(other)).map(String::from).collect();
        if !group.is_empty() {
            groups.insert(group);
        }
    }
    groups.into_iter().collect()
}

#[test]
fn modules_use_only_their_own_floor_and_those_below() {
    let violations = upward_uses(&sources());
    assert!(violations.is_empty(), "upward dependencies:\n{}", violations.join("\n"));
}

#[test]
fn modules_of_one_floor_form_no_cycle() {
    let cycles = cycles(&sources());
    assert_eq!(cycles, [HANDLE]);
}

#[test]
fn stores_use_values_and_ports_but_no_services() {
    let sources = sources();
    let stores = sources.iter().filter(|source| source.module == "store");
    let uses = stores.flat_map(|source| source.uses.iter().map(move |path| (source, path)));
    let wrong = uses.filter(|(_, path)| {
        SERVICES.contains(&path.rsplit("::").next().expect("a segment"))
            || path.starts_with("settings")
    });
    let wrong: Vec<_> = wrong
        .map(|(source, path)| format!("{} uses crate::{path}", source.path.display()))
        .collect();
    assert!(wrong.is_empty(), "stores that use services:\n{}", wrong.join("\n"));
}

fn source(module: &str, text: &str) -> Source {
    Source { path: format!("{module}.rs").into(), module: module.into(), uses: uses_of(text) }
}

#[test]
fn checker_reports_an_upward_use_and_an_unknown_module() {
    let sources = [
        source("session", "use crate::store::UserStore;\n"),
        source("store", "use crate::session::Session;\n"),
        source("attic", ""),
    ];
    assert_eq!(
        upward_uses(&sources),
        ["session.rs uses crate::store::UserStore", "attic is on no floor"],
    );
}

#[test]
fn checker_reports_direct_and_indirect_cycles_within_a_floor() {
    let acyclic = [
        source("user", "use crate::session::SessionEpoch;\nuse crate::access::Role;\n"),
        source("session", "use crate::id::SessionId;\n"),
        source("access", ""),
    ];
    assert!(cycles(&acyclic).is_empty());
    let cyclic = [
        source("user", "use crate::session::SessionEpoch;\n"),
        source("session", "fn f(a: crate::limit::Decision) {}\n"),
        source("limit", "use crate::user::Email;\n"),
        source("access", "use crate::user::User;\n"),
    ];
    assert_eq!(cycles(&cyclic), [["limit", "session", "user"]]);
}

#[test]
fn uses_are_read_from_code_and_not_from_comments() {
    let text = "//! crate::prose::Nothing\nuse crate::access::{\n    Actor, Role,\n};\n\
        use crate::error::Result;\nfn f(a: crate::limit::Decision) -> Vec<crate::user::User> {}\n\
        #[cfg(test)]\nmod tests {\n    use crate::testing::ManualClock;\n}\n";
    assert_eq!(
        uses_of(text),
        ["access::Actor", "access::Role", "error::Result", "limit::Decision", "user::User"],
    );
}

/// L4: no code compares what a [`goat_core::Secret`] holds by an operator, whose time depends on the first
/// difference.
#[test]
fn no_exposed_secret_is_compared_by_an_operator() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    let mut files = Vec::new();
    for member in ["goat-core", "goat-tower", "goat-server"] {
        files_below(&workspace.join(member).join("src"), &mut files);
    }
    assert!(files.len() > 50, "the walk must find the source files");
    let compares = |line: &&str| {
        let code = line.split("//").next().unwrap_or_default();
        code.contains(".expose()") && (code.contains(" == ") || code.contains(" != "))
    };
    for path in files {
        let text = fs::read_to_string(&path).expect("a source file");
        let code = text.split("#[cfg(test)]\nmod tests {").next().expect("a first part");
        let found: Vec<&str> = code.lines().filter(compares).collect();
        assert!(found.is_empty(), "use Secret::is_same_as in {}: {found:?}", path.display());
    }
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    // Another member is absent where the crate was packaged alone.
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() {
            files_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test(&path) {
            found.push(path);
        }
    }
}

/// P4: a new password is compared with the policy and the list of breached passwords in one place.
#[test]
fn new_passwords_are_checked_in_one_place() {
    let services = sources().into_iter().filter(|source| source.module == "service");
    let parses = services.filter(|source| {
        let text = fs::read_to_string(&source.path).expect("a source file");
        text.contains("NewPassword::parse(")
    });
    let places: Vec<PathBuf> = parses.map(|source| source.path).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/service");
    assert_eq!(places, [root.join("context.rs")]);
}

/// G1: every way to sign in ends in the one flow that takes a proof. Only it creates sessions, and only a
/// step-up replaces one.
#[test]
fn sessions_are_created_in_one_place() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut places = Vec::new();
    for crate_name in ["goat-core", "goat-tower", "goat-server"] {
        let source = root.join(crate_name).join("src");
        let mut found = Vec::new();
        collect(&source, &source, &mut found);
        for source in found {
            // A store's wrappers pass a call on, and the suites call the store that they test.
            if ["store", "testing"].contains(&source.module.as_str()) {
                continue;
            }
            let text = fs::read_to_string(&source.path).expect("a source file");
            let code: String = text.split_whitespace().collect();
            for call in [
                "sessions.create(",
                "SessionStore::create(",
                "SessionStore>::create(",
                "sessions.replace(",
                "SessionStore::replace(",
                "SessionStore>::replace(",
            ] {
                places
                    .extend(code.matches(call).map(|call| (source.path.clone(), call.to_owned())));
            }
        }
    }
    places.sort();
    let service = root.join("goat-core/src/service");
    let expected = [
        (service.join("open_session.rs"), "sessions.create(".to_owned()),
        (service.join("step_up.rs"), "sessions.replace(".to_owned()),
    ];
    assert_eq!(places, expected);
}
