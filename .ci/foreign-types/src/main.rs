//! Which types of other crates stand in a crate's public API, against the list of those that may.
//!
//! `foreign-types DOCUMENTATION.json LIST` reads what rustdoc writes with `--output-format json`. It
//! fails for a foreign type, trait or function that is not on the list, and for a line of the list
//! that nothing needs. So it cannot pass for having understood nothing: rustdoc's format may change,
//! and then all lines of the list are idle at once.
//!
//! Looked at are signatures, bounds, public fields, aliases, re-exports and implemented traits; left
//! out is what the compiler gives to every type (auto traits, blanket implementations), and the
//! standard library. A type counts by where it is defined, since that crate's version is what binds.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::{env, error, fs};

use serde_json::Value;

type Error = Box<dyn error::Error>;

/// Crates that are everywhere.
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

    let mut wrong = String::new();
    for (name, places) in &used {
        if !allowed.iter().any(|pattern| covers(pattern, name)) {
            let places = places.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
            wrong += &format!("public, and not on {list}: {name} (at {places})\n");
        }
    }
    let idle = |pattern: &&String| !used.keys().any(|name| covers(pattern, name));
    for idle in allowed.iter().filter(idle) {
        wrong += &format!("on {list}, and public nowhere: {idle}\n");
    }
    if !wrong.is_empty() {
        return Err(wrong.trim_end().into());
    }
    println!("{documentation}: {} foreign names, all of them on {list}", used.len());
    Ok(())
}

/// A pattern is a name, or `crate::*` for the whole of a crate.
fn covers(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix("::*") {
        Some(home) => name.split("::").next() == Some(home),
        None => pattern == name,
    }
}

/// A pattern a line; what follows a `#` is the reason, and a line must have one, itself or in the
/// comment above it.
fn read_list(path: &str) -> Result<BTreeSet<String>, Error> {
    let mut names = BTreeSet::new();
    let mut has_reason = false;
    for line in fs::read_to_string(path)?.lines() {
        let (name, reason) = line.split_once('#').unwrap_or((line, ""));
        let name = name.trim();
        match name {
            "" => has_reason = !reason.trim().is_empty() || (has_reason && !line.is_empty()),
            _ if !has_reason && reason.trim().is_empty() => {
                return Err(format!("{path}: {name} stands there without a reason").into());
            }
            _ if !names.insert(name.to_owned()) => {
                return Err(format!("{path}: {name} stands there twice").into());
            }
            _ => {}
        }
    }
    Ok(names)
}

/// The foreign names of a public API, each with the places that show it.
fn foreign_names(document: &Value) -> Result<BTreeMap<String, BTreeSet<String>>, Error> {
    let part = |name: &str| {
        document[name].as_object().ok_or_else(|| format!("no {name}: not rustdoc's JSON?"))
    };
    let (index, paths, crates) = (part("index")?, part("paths")?, part("external_crates")?);

    let given = |item: &Value| {
        let implementation = &item["inner"]["impl"];
        implementation["is_synthetic"] == true || !implementation["blanket_impl"].is_null()
    };
    let of_given: BTreeSet<u64> = index
        .values()
        .filter(|item| given(item))
        .flat_map(|item| item["inner"]["impl"]["items"].as_array().into_iter().flatten())
        .filter_map(Value::as_u64)
        .collect();

    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for item in index.values().filter(|item| item["crate_id"] == 0 && !given(item)) {
        if item["id"].as_u64().is_some_and(|id| of_given.contains(&id)) {
            continue;
        }
        let mut mentioned = BTreeSet::new();
        mentions(&item["inner"], &mut mentioned);
        for id in mentioned {
            let Some(path) = paths.get(&id.to_string()) else { continue };
            let Some(home) = crates.get(&path["crate_id"].to_string()) else { continue };
            if home["name"].as_str().is_none_or(|name| STANDARD.contains(&name)) {
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

/// The ids of all that a part of an item names: wherever rustdoc writes a path it writes the id of
/// what it leads to beside it, and a re-export has one for its target.
fn mentions(part: &Value, ids: &mut BTreeSet<u64>) {
    match part {
        Value::Object(fields) => {
            if fields.contains_key("path") || fields.contains_key("is_glob") {
                ids.extend(fields.get("id").and_then(Value::as_u64));
            }
            fields.values().for_each(|value| mentions(value, ids));
        }
        Value::Array(values) => values.iter().for_each(|value| mentions(value, ids)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A function `f` that takes the type 7 of the crate 3, with what else is told of it.
    fn document(home: &str, inner: &Value) -> Value {
        serde_json::json!({
            "index": { "1": { "id": 1, "crate_id": 0, "inner": inner,
                "span": { "filename": "src/lib.rs", "begin": [5, 1] } } },
            "paths": { "7": { "crate_id": 3, "path": [home, "inside", "Type"] } },
            "external_crates": { "3": { "name": home } },
        })
    }

    fn names(document: &Value) -> Vec<String> {
        foreign_names(document).expect("rustdoc's form").into_keys().collect()
    }

    #[test]
    fn a_foreign_type_is_found_however_deep_in_a_signature() {
        let inner = serde_json::json!({ "function": { "inputs": [["it", { "borrowed_ref":
            { "type": { "resolved_path": { "path": "Type", "id": 7, "args": null } } } }]] } });
        assert_eq!(names(&document("driver", &inner)), ["driver::inside::Type"]);
        assert!(names(&document("core", &inner)).is_empty());
    }

    #[test]
    fn a_reexport_counts_and_what_the_compiler_gives_does_not() {
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
    fn a_whole_crate_covers_its_names_and_no_other_crates() {
        assert!(covers("http::*", "http::request::Parts"));
        assert!(!covers("http::*", "http_body::Body"));
        assert!(!covers("http_body::Body", "http_body::frame::Frame"));
    }
}
