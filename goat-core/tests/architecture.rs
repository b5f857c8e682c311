//! The arrows of the design, read from the `use crate::…` lines of the source: a module uses what
//! lies below it, never what lies above.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// From the ground up. A module may use those of its own layer and of the layers below.
const LAYERS: [(&str, &[&str]); 5] = [
    (
        "base",
        &[
            "error",
            "id",
            "secret",
            "clock",
            "quota",
            "page",
            "aged",
            "detached",
            "event",
            "invalidation",
        ],
    ),
    ("concepts", &["user", "access", "password", "session", "token", "limit"]),
    ("settings and storage", &["settings", "store"]),
    ("flows", &["auth"]),
    ("handle", &["goat", "builder"]),
];

/// Modules that lie beside the layers: the front page sees all, and the tests' tools see what they
/// help to test.
const BESIDE: [&str; 2] = ["lib", "testing"];

/// Types of the crate that are what an application asks, or what holds such things together:
/// storage that uses one of them has become more than storage.
const SERVICES: [&str; 11] = [
    "Users",
    "Sessions",
    "Roles",
    "Limits",
    "Tokens",
    "SessionValidator",
    "SessionCache",
    "RoleTableCache",
    "Policy",
    "AccountLimit",
    "HashBulkhead",
];

struct Source {
    path: PathBuf,
    /// The first segment below `src`.
    module: String,
    /// What it uses of the crate: the paths after `crate::`, one for each leaf.
    uses: Vec<String>,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    collect(&root, &root, &mut found);
    assert!(found.len() > 50, "the walk found too few files to mean anything");
    found
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).expect("a folder of the source") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(root, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test(&path) {
            let text = fs::read_to_string(&path).expect("a source file");
            let below = path.strip_prefix(root).expect("it lies below");
            let module = below.iter().next().expect("a segment").to_string_lossy();
            let module = module.trim_end_matches(".rs").to_owned();
            found.push(Source { module, uses: uses_of(&text), path });
        }
    }
}

/// Unit tests that have files of their own. They may use everything.
fn is_test(path: &Path) -> bool {
    path.iter().any(|segment| segment == "tests" || segment == "tests.rs")
}

/// The paths after `crate::` in the code of a file, without comments and without its unit tests.
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

fn heights() -> BTreeMap<&'static str, usize> {
    let heights = LAYERS.iter().enumerate();
    heights
        .flat_map(|(height, (_, modules))| modules.iter().map(move |one| (*one, height)))
        .collect()
}

#[test]
fn modules_use_only_what_lies_below_them() {
    let heights = heights();
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(height) = heights.get(source.module.as_str()) else {
            assert!(
                BESIDE.contains(&source.module.as_str()),
                "{} is in no layer: give it one",
                source.module,
            );
            continue;
        };
        for path in &source.uses {
            let used = path.split("::").next().expect("a segment");
            if heights.get(used).is_none_or(|used| used > height) {
                wrong.push(format!("{} uses crate::{path}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that point the wrong way:\n{}", wrong.join("\n"));
}

#[test]
fn storage_uses_types_and_ports_but_no_services() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.module == "store") {
        for path in &source.uses {
            let leaf = path.rsplit("::").next().expect("a segment");
            if SERVICES.contains(&leaf) || path.starts_with("settings") {
                wrong.push(format!("{} uses crate::{path}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "storage that knows too much:\n{}", wrong.join("\n"));
}

/// The check itself: it sees grouped, nested and inline paths, and is not misled by prose.
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
