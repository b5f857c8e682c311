//! The document: each requirement, the tests that show it, and their results.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::requirements::Section;

/// A test of a requirement.
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) file: String,
    pub(crate) outcome: Outcome,
}

/// The result of a test, from good to bad: several tests together have the greatest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Passed,
    #[default]
    NotRun,
    Failed,
}

const HEAD: &str = "\
# Security requirements and their tests

<!-- Written by `make security-tests`; do not edit. -->

Each requirement has a code, which the comments of its tests name. A case of a conformance suite counts
as passed if every test that runs the suite passed. The results are those of the last run before this
version was committed; `.ci/run` fails if they differ. [The security model](../../.github/SECURITY.md)
explains the requirements.
";

/// Writes the document.
pub(crate) fn write(
    sections: &[Section],
    entries: &BTreeMap<String, Vec<Entry>>,
    open: &BTreeMap<&str, &str>,
) -> String {
    let mut text = HEAD.to_owned();
    for section in sections {
        let _ = write!(text, "\n## {}\n", section.title);
        for requirement in &section.requirements {
            let _ = write!(text, "\n**{}** {}\n\n", requirement.code, requirement.text);
            let Some(tests) = entries.get(&requirement.code) else {
                let reason = open.get(requirement.code.as_str()).unwrap_or(&"no test yet");
                let _ = writeln!(text, "- open: {reason}");
                continue;
            };
            for test in tests {
                let result = match test.outcome {
                    Outcome::Passed => "passed",
                    Outcome::NotRun => "not run",
                    Outcome::Failed => "failed",
                };
                let _ = writeln!(text, "- [`{}`](../../{}): {result}", test.name, test.file);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requirements::parse;

    #[test]
    fn each_requirement_has_its_tests_or_is_open() {
        let sections = parse("# Tokens\nJ1 One.\nJ2 Two.\n").expect("a list");
        let entry = Entry {
            name: "one".to_owned(),
            file: "goat-core/src/token/tests.rs".to_owned(),
            outcome: Outcome::Passed,
        };
        let entries = BTreeMap::from([("J1".to_owned(), vec![entry])]);
        let text = write(&sections, &entries, &BTreeMap::from([("J2", "later")]));
        let expected = "## Tokens\n\n**J1** One.\n\n\
                        - [`one`](../../goat-core/src/token/tests.rs): passed\n\n\
                        **J2** Two.\n\n- open: later\n";
        assert!(text.ends_with(expected), "{text}");
        assert!(Outcome::Passed < Outcome::NotRun && Outcome::NotRun < Outcome::Failed);
    }
}
