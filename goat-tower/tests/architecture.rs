//! Module dependencies within the crate, read from the `crate::…` paths of its source: a module
//! uses modules of its own layer and of lower ones only.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The layers from the lowest: parts of requests and responses, errors and rejections, credentials,
/// the guard, the middleware, its form for tonic, and the extension trait. A module may use those of
/// its own layer and of the layers before it.
const LAYERS: [&[&str]; 9] = [
    &[
        "address",
        "bearer",
        "body",
        "decisions",
        "json",
        "path_template",
        "principal",
        "rate_limit_headers",
        "request_id",
        "timestamp",
        "token_principal",
    ],
    &["origin", "problem", "status", "grpc", "layer_order", "denial"],
    &["cookie", "credentials"],
    &["guard"],
    &["limit"],
    &["authenticate"],
    &["require"],
    &["tonic"],
    &["ext"],
];

/// Modules without a layer: they may use all others.
const EXEMPT: [&str; 5] = ["axum", "guide", "lib", "offline", "testing"];

/// Folders with a layer per module.
const SPLIT_FOLDERS: [&str; 2] = ["request", "response"];

fn levels() -> BTreeMap<&'static str, usize> {
    let layers = LAYERS.iter().enumerate();
    layers.flat_map(|(level, modules)| modules.iter().map(move |one| (*one, level))).collect()
}

/// Returns the dependencies between modules, by the first path segment below `src`.
fn dependencies() -> Vec<(String, String)> {
    let mut dependencies = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), None, &mut dependencies);
    dependencies
}

fn collect(folder: &Path, module: Option<&str>, dependencies: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("a folder of the source") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let module = module.filter(|folder| !SPLIT_FOLDERS.contains(folder)).unwrap_or(&name);
        if name == "tests" {
            continue;
        }
        if path.is_dir() {
            collect(&path, Some(module), dependencies);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source file");
            let code = text.split("\nmod tests {").next().unwrap_or_default();
            let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            for used in lines.flat_map(|line| line.split("crate::").skip(1)) {
                let open = SPLIT_FOLDERS
                    .iter()
                    .find_map(|folder| used.strip_prefix(folder)?.strip_prefix("::"));
                let used = open.unwrap_or(used);
                let end = used.find(|next: char| next != '_' && !next.is_ascii_lowercase());
                dependencies
                    .push((module.to_owned(), used[..end.unwrap_or(used.len())].to_owned()));
            }
        }
    }
}

#[test]
fn modules_use_only_lower_layers() {
    let (levels, dependencies) = (levels(), dependencies());
    assert!(dependencies.len() > 40, "too few dependencies found: {}", dependencies.len());
    let mut violations = Vec::new();
    for (from, to) in &dependencies {
        if from == to || EXEMPT.contains(&from.as_str()) {
            continue;
        }
        match (levels.get(from.as_str()), levels.get(to.as_str())) {
            (Some(level), Some(below)) if below <= level => {}
            (Some(_), Some(_)) => {
                violations.push(format!("{from} uses {to}, which is in a higher layer"));
            }
            (None, _) => violations.push(format!("{from} has no layer")),
            (_, None) => violations.push(format!("{from} uses {to:?}, which has no layer")),
        }
    }
    assert!(violations.is_empty(), "{violations:#?}");
}
