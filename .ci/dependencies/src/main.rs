//! Dependencies: checks licences, sources and duplicates against `deny.toml`.
//!
//! `dependencies RULES` reads the output of `cargo metadata` from standard input. It understands those
//! rules of cargo-deny that `deny.toml` uses, so that the check needs no installation of cargo-deny, and
//! `cargo deny check` gives the same results. A rule that applies to nothing is a fault.

mod licence;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::process::ExitCode;
use std::{env, fs, io};

use rules::Rules;
use serde_json::Value;

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn main() -> ExitCode {
    let outcome = read().and_then(|(rules, metadata)| faults(&rules, &metadata));
    match outcome {
        Ok((count, faults)) if faults.is_empty() => {
            println!("{count} dependencies keep to the rules");
            ExitCode::SUCCESS
        }
        Ok((_, faults)) => {
            for fault in faults {
                eprintln!("{fault}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("dependencies: {error}");
            ExitCode::FAILURE
        }
    }
}

fn read() -> Result<(Rules, Value), String> {
    let path = env::args().nth(1).ok_or("usage: cargo metadata … | dependencies RULES")?;
    let rules = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let mut metadata = String::new();
    io::stdin().read_to_string(&mut metadata).map_err(|error| error.to_string())?;
    let metadata = serde_json::from_str(&metadata).map_err(|error| format!("metadata: {error}"))?;
    Ok((Rules::parse(&rules)?, metadata))
}

/// Returns the number of dependencies and the violations of the rules.
fn faults(rules: &Rules, metadata: &Value) -> Result<(usize, Vec<String>), String> {
    let packages = metadata["packages"].as_array().ok_or("metadata without packages")?;
    let mut faults = Vec::new();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut used = BTreeSet::new();
    // Packages of the workspace have no source.
    let dependencies: Vec<&Value> =
        packages.iter().filter(|package| package["source"].is_string()).collect();
    for package in &dependencies {
        let [name, version, source] = ["name", "version", "source"]
            .map(|member| package[member].as_str().unwrap_or_default());
        versions.entry(name).or_default().insert(version);
        if source != CRATES_IO {
            faults.push(format!("{name} {version} comes from {source}"));
        }
        let Some(licence) = package["license"].as_str() else {
            faults.push(format!("{name} {version} states no licence"));
            continue;
        };
        match licence::accepted(licence, &rules.licences) {
            Some(accepted) => used.extend(accepted),
            None => faults.push(format!("{name} {version} has the licence {licence}")),
        }
    }
    for licence in rules.licences.iter().filter(|licence| !used.contains(*licence)) {
        faults.push(format!("deny.toml: no dependency needs the licence {licence}"));
    }
    for (name, versions) in &versions {
        let counted: Vec<&&str> =
            versions.iter().filter(|version| !rules.skips(name, version)).collect();
        if counted.len() > 1 {
            faults.push(format!("{name} is used in the versions {counted:?}"));
        }
    }
    for skip in &rules.skipped {
        let others = versions.get(skip.name.as_str());
        let is_used = others.is_some_and(|versions| {
            versions.len() > 1 && versions.iter().any(|version| skip.covers(version))
        });
        if !is_used {
            faults.push(format!("deny.toml: {} is no duplicate", skip.name));
        }
    }
    Ok((dependencies.len(), faults))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const RULES: &str = "[licenses]\nallow = [\n    \"MIT\",\n]\n[bans]\nskip = [\n    \
                         { crate = \"old@0.1\", reason = \"needed\" },\n]\n";

    fn package(name: &str, version: &str, licence: &str, source: &str) -> Value {
        json!({"name": name, "version": version, "license": licence, "source": source})
    }

    fn check(packages: &[Value]) -> Vec<String> {
        let rules = Rules::parse(RULES).expect("rules");
        faults(&rules, &json!({ "packages": packages })).expect("metadata").1
    }

    #[test]
    fn each_violation_and_each_rule_without_effect_is_a_fault() {
        let good = [
            json!({"name": "goat", "version": "0.1.0", "license": null, "source": null}),
            package("old", "0.1.9", "MIT OR Apache-2.0", CRATES_IO),
            package("old", "0.2.0", "MIT", CRATES_IO),
        ];
        assert!(check(&good).is_empty(), "{:?}", check(&good));
        let one_of = |packages: &[Value], text: &str| {
            let faults = check(packages);
            assert!(faults.iter().any(|fault| fault.contains(text)), "{text}: {faults:?}");
        };
        one_of(&[package("a", "1.0.0", "MIT", "git+https://example.org/a")], "comes from git+");
        one_of(&[package("a", "1.0.0", "GPL-3.0", CRATES_IO)], "licence GPL-3.0");
        one_of(&[package("a", "1.0.0", "GPL-3.0", CRATES_IO)], "needs the licence MIT");
        let twice = ["1.0.0", "2.0.0"].map(|version| package("a", version, "MIT", CRATES_IO));
        one_of(&twice, "a is used in the versions");
        one_of(&good[..2], "old is no duplicate");
    }
}
