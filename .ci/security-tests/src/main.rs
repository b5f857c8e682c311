//! Security tests: writes the list of all security requirements with the tests that show them.
//!
//! `security-tests DOCUMENT [OUTPUT…]` reads the paths of tracked files from standard input, one a
//! line, and the results from outputs of `cargo test`, standard error included. With `--check` it
//! writes nothing, and fails where the document is not the one that it would write. In both cases it
//! fails for a test that did not pass, for a requirement without a test that `open.txt` does not list,
//! and for one that it lists and that has a test.

mod document;
mod requirements;
mod results;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::process::ExitCode;
use std::{env, fs, io};

use document::{Entry, Outcome};
use results::Results;
use source::Function;

const REQUIREMENTS: &str = include_str!("../requirements.txt");

/// Requirements without a test, one a line: the code, then the reason.
const OPEN: &str = include_str!("../open.txt");

fn main() -> ExitCode {
    match run() {
        Ok(faults) if faults.is_empty() => ExitCode::SUCCESS,
        Ok(faults) => {
            for fault in faults {
                eprintln!("{fault}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("security-tests: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<Vec<String>, String> {
    let mut arguments: Vec<String> = env::args().skip(1).collect();
    let check = arguments.iter().any(|argument| argument == "--check");
    arguments.retain(|argument| argument != "--check");
    let [document, outputs @ ..] = arguments.as_slice() else {
        return Err("usage: git ls-files | security-tests [--check] DOCUMENT [OUTPUT…]".to_owned());
    };
    let mut paths = String::new();
    io::stdin().read_to_string(&mut paths).map_err(|error| error.to_string())?;
    let mut results = Results::default();
    for output in outputs {
        let bytes = fs::read(output).map_err(|error| format!("{output}: {error}"))?;
        results.read(&String::from_utf8_lossy(&bytes));
    }
    if results.is_empty() && !outputs.is_empty() {
        return Err(format!("no results of tests in {outputs:?}"));
    }

    let sections = requirements::parse(REQUIREMENTS)?;
    let known: BTreeSet<String> = sections
        .iter()
        .flat_map(|section| &section.requirements)
        .map(|one| one.code.clone())
        .collect();
    let functions = functions(&paths, &known);
    if functions.is_empty() {
        return Err("no tests: are the paths those of tracked files?".to_owned());
    }
    let entries = entries(&functions, &results);

    let mut faults = Vec::new();
    let open: BTreeMap<&str, &str> = OPEN.lines().filter_map(|line| line.split_once(' ')).collect();
    for code in &known {
        match (entries.contains_key(code.as_str()), open.contains_key(code.as_str())) {
            (false, false) => {
                faults.push(format!("{code}: no test has this code in its comment or name"))
            }
            (true, true) => faults.push(format!("{code}: has a test, and is listed in open.txt")),
            _ => {}
        }
    }
    for (code, entries) in &entries {
        for entry in entries {
            let fault = match entry.outcome {
                Outcome::Failed => "failed",
                Outcome::NotRun if !results.is_empty() => "was not run",
                _ => continue,
            };
            faults.push(format!("{code}: {} in {} {fault}", entry.name, entry.file));
        }
    }
    let text = document::write(&sections, &entries, &open);
    if !check {
        fs::write(document, text).map_err(|error| format!("{document}: {error}"))?;
    } else if fs::read_to_string(document).is_ok_and(|present| present == text) {
        println!("{} requirements, {} without a test", known.len(), open.len());
    } else {
        let new = env::temp_dir().join("security-tests.md");
        fs::write(&new, text).map_err(|error| format!("{}: {error}", new.display()))?;
        faults.push(format!("{document} is out of date; it should be as {}", new.display()));
    }
    Ok(faults)
}

/// Reads the functions of tests of all packages among the paths.
fn functions(paths: &str, known: &BTreeSet<String>) -> Vec<Function> {
    let manifests = paths.lines().filter_map(|path| path.strip_suffix("/Cargo.toml"));
    let packages: Vec<String> = manifests.map(str::to_owned).collect();
    let sources = paths.lines().filter(|path| path.ends_with(".rs") && !path.starts_with('.'));
    let read = |path: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        source::functions(path, &text, &packages, known)
    };
    sources.flat_map(read).collect()
}

/// Returns the tests of each code. A code at a function that is no test, such as a case of a
/// conformance suite, is shown by the tests that call it.
fn entries(functions: &[Function], results: &Results) -> BTreeMap<String, Vec<Entry>> {
    let mut entries: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
    for function in functions.iter().filter(|function| !function.codes.is_empty()) {
        let mut outcome = outcome(function, results);
        if outcome == Outcome::NotRun && !function.is_test {
            let callers = callers(function, functions);
            if callers.is_empty() {
                continue;
            }
            outcome = callers
                .iter()
                .map(|caller| self::outcome(caller, results))
                .max()
                .unwrap_or_default();
        }
        for code in &function.codes {
            entries.entry(code.clone()).or_default().push(Entry {
                name: function.name.clone(),
                file: function.file.clone(),
                outcome,
            });
        }
    }
    entries
}

/// Returns the tests that call a function, by way of any others.
fn callers<'a>(function: &'a Function, functions: &'a [Function]) -> Vec<&'a Function> {
    let mut tests = Vec::new();
    let mut seen = BTreeSet::from([(&function.file, &function.name)]);
    let mut queue = vec![function];
    while let Some(called) = queue.pop() {
        for caller in functions.iter().filter(|caller| caller.calls(called)) {
            if !seen.insert((&caller.file, &caller.name)) {
                continue;
            }
            if caller.is_test {
                tests.push(caller);
            } else {
                queue.push(caller);
            }
        }
    }
    tests
}

fn outcome(function: &Function, results: &Results) -> Outcome {
    let results = results.of(&function.binary, &function.module, &function.name);
    match (results.is_empty(), results.into_iter().all(|passed| passed)) {
        (true, _) => Outcome::NotRun,
        (false, true) => Outcome::Passed,
        (false, false) => Outcome::Failed,
    }
}
