//! The arrows within the crate, read from the `crate::…` of its source: a module uses what lies below it,
//! never what lies above.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// From the ground up: what is read of a request and written to a response, how it is refused, what it
/// shows, how it is guarded, the guards, and the handle. A module may use those of its own line and of the
/// lines before it.
const LAYERS: [&[&str]; 8] = [
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
        "token_principal",
    ],
    &["origin", "problem", "status", "grpc", "layer_order", "denial"],
    &["cookie", "credentials"],
    &["guard"],
    &["limit"],
    &["authenticate"],
    &["require"],
    &["ext"],
];

/// Modules that lie beside: the front page and the guide see all, and so do what gives the types to axum
/// and to tests.
const BESIDE: [&str; 5] = ["axum", "guide", "lib", "offline", "testing"];

/// Folders whose modules have a layer each.
const OPEN: [&str; 2] = ["request", "response"];

fn heights() -> BTreeMap<&'static str, usize> {
    let layers = LAYERS.iter().enumerate();
    layers.flat_map(|(height, modules)| modules.iter().map(move |one| (*one, height))).collect()
}

/// The modules of the crate that each module uses, by the first segment below `src`.
fn arrows() -> Vec<(String, String)> {
    let mut arrows = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), None, &mut arrows);
    arrows
}

fn collect(folder: &Path, module: Option<&str>, arrows: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("a folder of the source") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let module = module.filter(|folder| !OPEN.contains(folder)).unwrap_or(&name);
        if name == "tests" {
            continue;
        }
        if path.is_dir() {
            collect(&path, Some(module), arrows);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source file");
            let code = text.split("\nmod tests {").next().unwrap_or_default();
            let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            for used in lines.flat_map(|line| line.split("crate::").skip(1)) {
                let open =
                    OPEN.iter().find_map(|folder| used.strip_prefix(folder)?.strip_prefix("::"));
                let used = open.unwrap_or(used);
                let end = used.find(|next: char| next != '_' && !next.is_ascii_lowercase());
                arrows.push((module.to_owned(), used[..end.unwrap_or(used.len())].to_owned()));
            }
        }
    }
}

#[test]
fn modules_use_only_what_lies_below_them() {
    let (heights, arrows) = (heights(), arrows());
    assert!(arrows.len() > 40, "too few arrows were found to mean anything: {}", arrows.len());
    let mut wrong = Vec::new();
    for (from, to) in &arrows {
        if from == to || BESIDE.contains(&from.as_str()) {
            continue;
        }
        match (heights.get(from.as_str()), heights.get(to.as_str())) {
            (Some(height), Some(below)) if below <= height => {}
            (Some(_), Some(_)) => wrong.push(format!("{from} uses {to}, which lies above it")),
            (None, _) => wrong.push(format!("{from} has no place among the layers")),
            (_, None) => wrong.push(format!("{from} uses {to:?}, which has no place among them")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
