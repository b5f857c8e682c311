//! Checks that a crate's public API uses only those types of other crates that are on an
//! allow-list.
//!
//! `foreign-types DOCUMENTATION.json LIST` reads rustdoc's `--output-format json`. It fails for a
//! foreign type, trait or function that is not on the list, and for an unused line of the list. A
//! change of rustdoc's format therefore cannot make it pass by accident: all lines would become
//! unused.
//!
//! It inspects signatures, bounds, public fields, aliases, re-exports and implemented traits, but
//! not compiler-generated implementations (auto traits, blanket implementations) or the standard
//! library. A type belongs to the crate that defines it, since that crate's version is binding.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::{env, error, fs};

use serde_json::Value;

type Error = Box<dyn error::Error>;

/// Crates of the standard library.
const STANDARD: [&str; 3] = ["std", "core", "alloc"];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [documentation, list] = arguments.as_slice() else {
        eprintln!("usage: foreign-types DOCUMENTATION.json LIST");
        return ExitCode::FAILURE;
    };
    match check(documentation, list) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn check(documentation: &str, list: &str) -> Result<(), Error> {
    let allowed = read_list(list)?;
    let document: Value = serde_json::from_str(&fs::read_to_string(documentation)?)?;
    let used = foreign_names(&document)?;

    let mut errors = String::new();
    for (name, places) in &used {
        if !allowed.iter().any(|pattern| matches_pattern(pattern, name)) {
            let places = places.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
            errors += &format!("public, but not on {list}: {name} (at {places})\n");
        }
    }
    let unused = |pattern: &&String| !used.keys().any(|name| matches_pattern(pattern, name));
    for unused in allowed.iter().filter(unused) {
        errors += &format!("on {list}, but not public: {unused}\n");
    }
    if !errors.is_empty() {
        return Err(errors.trim_end().into());
    }
    println!("{documentation}: {} foreign names, all on {list}", used.len());
    Ok(())
}

/// Returns whether a pattern matches a name. A pattern is a name, or `crate::*` for a whole crate.
fn matches_pattern(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix("::*") {
        Some(owner) => name.split("::").next() == Some(owner),
        None => pattern == name,
    }
}

/// Reads one pattern per line. Each needs a reason after a `#`, on the line or in the comment above
/// it.
fn read_list(path: &str) -> Result<BTreeSet<String>, Error> {
    let mut names = BTreeSet::new();
    let mut has_reason = false;
    for line in fs::read_to_string(path)?.lines() {
        let (name, reason) = line.split_once('#').unwrap_or((line, ""));
        let name = name.trim();
        match name {
            "" => has_reason = !reason.trim().is_empty() || (has_reason && !line.is_empty()),
            _ if !has_reason && reason.trim().is_empty() => {
                return Err(format!("{path}: {name} has no reason").into());
            }
            _ if !names.insert(name.to_owned()) => {
                return Err(format!("{path}: {name} is listed twice").into());
            }
            _ => {}
        }
    }
    Ok(names)
}

/// Returns the foreign names of a public API, each with the places that use it.
fn foreign_names(document: &Value) -> Result<BTreeMap<String, BTreeSet<String>>, Error> {
    let part = |name: &str| {
        document[name].as_object().ok_or_else(|| format!("no {name}: not rustdoc's JSON?"))
    };
    let (index, paths, crates) = (part("index")?, part("paths")?, part("external_crates")?);

    let generated = |item: &Value| {
        let implementation = &item["inner"]["impl"];
        implementation["is_synthetic"] == true || !implementation["blanket_impl"].is_null()
    };
    let generated_items: BTreeSet<u64> = index
        .values()
        .filter(|item| generated(item))
        .flat_map(|item| item["inner"]["impl"]["items"].as_array().into_iter().flatten())
        .filter_map(Value::as_u64)
        .collect();

    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for item in index.values().filter(|item| item["crate_id"] == 0 && !generated(item)) {
        if item["id"].as_u64().is_some_and(|id| generated_items.contains(&id)) {
            continue;
        }
        let mut ids_used = BTreeSet::new();
        collect_ids(&item["inner"], &mut ids_used);
        for id in ids_used {
            let Some(path) = paths.get(&id.to_string()) else { continue };
            let Some(owner) = crates.get(&path["crate_id"].to_string()) else { continue };
            if owner["name"].as_str().is_none_or(|name| STANDARD.contains(&name)) {
                continue;
            }
            let segments = path["path"].as_array().ok_or("a path without segments")?;
            let name = segments.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("::");
            let span = &item["span"];
            let file = span["filename"].as_str().unwrap_or("?");
            found.entry(name).or_default().insert(format!("{file}:{}", span["begin"][0]));
        }
    }
    Ok(found)
}

/// Collects the ids of all items that a part of an item refers to: rustdoc writes an id beside each
/// path, and one for the target of a re-export.
fn collect_ids(part: &Value, ids: &mut BTreeSet<u64>) {
    match part {
        Value::Object(fields) => {
            if fields.contains_key("path") || fields.contains_key("is_glob") {
                ids.extend(fields.get("id").and_then(Value::as_u64));
            }
            fields.values().for_each(|value| collect_ids(value, ids));
        }
        Value::Array(values) => values.iter().for_each(|value| collect_ids(value, ids)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a document with a function that takes type 7 of crate 3 as described by `inner`.
    fn document(owner: &str, inner: &Value) -> Value {
        serde_json::json!({
            "index": { "1": { "id": 1, "crate_id": 0, "inner": inner,
                "span": { "filename": "src/lib.rs", "begin": [5, 1] } } },
            "paths": { "7": { "crate_id": 3, "path": [owner, "inside", "Type"] } },
            "external_crates": { "3": { "name": owner } },
        })
    }

    fn names(document: &Value) -> Vec<String> {
        foreign_names(document).expect("rustdoc's form").into_keys().collect()
    }

    #[test]
    fn foreign_types_are_found_at_any_depth_of_a_signature() {
        let inner = serde_json::json!({ "function": { "inputs": [["it", { "borrowed_ref":
            { "type": { "resolved_path": { "path": "Type", "id": 7, "args": null } } } }]] } });
        assert_eq!(names(&document("driver", &inner)), ["driver::inside::Type"]);
        assert!(names(&document("core", &inner)).is_empty());
    }

    #[test]
    fn reexports_count_and_generated_implementations_do_not() {
        let reexport = serde_json::json!({ "use": { "is_glob": false, "id": 7 } });
        assert_eq!(names(&document("driver", &reexport)), ["driver::inside::Type"]);
        let implementation = |synthetic: bool| {
            serde_json::json!({ "impl": { "is_synthetic": synthetic, "blanket_impl": null,
                "trait": { "path": "Type", "id": 7 }, "items": [] } })
        };
        assert_eq!(names(&document("driver", &implementation(false))), ["driver::inside::Type"]);
        assert!(names(&document("driver", &implementation(true))).is_empty());
    }

    #[test]
    fn a_crate_pattern_matches_only_that_crate() {
        assert!(matches_pattern("http::*", "http::request::Parts"));
        assert!(!matches_pattern("http::*", "http_body::Body"));
        assert!(!matches_pattern("http_body::Body", "http_body::frame::Frame"));
    }
}
