//! Plain prose: counts vague words in comments and Markdown, per crate, and finds banned coinages.
//!
//! `prose CRATE…` reads the paths of tracked files from standard input, one a line, and fails where a
//! crate has too many words of a group per 10,000 words of prose, or where a name or sentence uses a
//! word of `banned.txt`. Code blocks and code spans do not count as prose; names in code are
//! compared with the banned words too.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs, io};

/// A group of words and how many of them 10,000 words of prose may hold.
struct Group {
    name: &'static str,
    words: &'static [&'static str],
    limit: usize,
}

const GROUPS: [Group; 4] = [
    Group {
        name: "who",
        words: &[
            "who",
            "whom",
            "whose",
            "whoever",
            "whomever",
            "somebody",
            "nobody",
            "anybody",
            "everybody",
            "someone",
            "anyone",
            "everyone",
            "whatever",
            "whichever",
        ],
        limit: 10,
    },
    Group { name: "what", words: &["what"], limit: 20 },
    Group { name: "one's", words: &["oneself", "one's"], limit: 1 },
    Group {
        name: "posture",
        words: &[
            "lies", "lay", "stands", "stood", "deaf", "hears", "heard", "doubt", "doubts", "trust",
            "trusts",
        ],
        limit: 10,
    },
];

/// Words that have a standard term, one a line, with the term after an equals sign.
const BANNED: &str = include_str!("../banned.txt");

/// The folder of this program, which names the words.
const OWN_FOLDER: &str = ".ci/prose/";

/// The database migrations: a changed comment changes a checksum, and existing databases are refused.
const MIGRATIONS: &str = "/migrations/";

/// Fewer words than this say nothing about a density: a crate may hold one word of each group.
const SAMPLE: usize = 10_000;

#[derive(Default)]
struct Count {
    words: usize,
    hits: [Vec<String>; GROUPS.len()],
}

fn main() -> ExitCode {
    let crates: Vec<String> = env::args().skip(1).collect();
    let mut paths = String::new();
    if crates.is_empty() || io::stdin().read_to_string(&mut paths).is_err() {
        eprintln!("usage: git ls-files | prose CRATE…");
        return ExitCode::FAILURE;
    }
    let mut counts: BTreeMap<&str, Count> = BTreeMap::new();
    let mut faults = Vec::new();
    let is_checked = |path: &&str| !path.starts_with(OWN_FOLDER) && !path.contains(MIGRATIONS);
    for path in paths.lines().filter(is_checked) {
        let Ok(text) = fs::read_to_string(path) else { continue };
        let first = path.split('/').next().unwrap_or_default();
        let part = crates.iter().find(|name| *name == first).map_or("the rest", String::as_str);
        if let Some(prose) = prose_of(Path::new(path), &text) {
            count(path, &prose, counts.entry(part).or_default());
            faults.extend(banned(path, &text));
        }
    }
    if counts.len() <= crates.len() {
        eprintln!("no prose was found for one of {crates:?}: wrong folder?");
        return ExitCode::FAILURE;
    }
    for (part, count) in &counts {
        let sample = count.words.max(SAMPLE);
        let mut line = format!("{part}: {} words", count.words);
        for (group, hits) in GROUPS.iter().zip(&count.hits) {
            line += &format!(", {} {}", group.name, hits.len());
            if hits.len() * 10_000 >= group.limit.max(2) * sample {
                faults.push(format!(
                    "{part}: {} of {} in {} words of prose, and fewer than {} in 10,000 are wanted:",
                    hits.len(), group.name, count.words, group.limit
                ));
                faults.extend(hits.iter().map(|hit| format!("  {hit}")));
            }
        }
        println!("{line}");
    }
    for fault in &faults {
        eprintln!("{fault}");
    }
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The prose of a file with its line numbers, or none for a file of another kind.
fn prose_of(path: &Path, text: &str) -> Option<Vec<(usize, String)>> {
    let marks: &[&str] = match path.extension()?.to_str()? {
        "rs" => &["///", "//!", "//"],
        "lua" | "sql" => &["--"],
        "sh" => &["#"],
        "md" => &[""],
        _ => return None,
    };
    let mut fenced = false;
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        let Some(line) = marks.iter().find_map(|mark| line.strip_prefix(mark)) else {
            fenced = false;
            continue;
        };
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            found.push((number + 1, without_code(line)));
        }
    }
    Some(found)
}

/// The line without its code spans.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join(" ")
}

fn count(path: &str, prose: &[(usize, String)], count: &mut Count) {
    for (number, line) in prose {
        let is_part = |letter: char| letter.is_ascii_alphabetic() || letter == '\'';
        for word in line.split(|letter| !is_part(letter)).filter(|word| !word.is_empty()) {
            count.words += 1;
            let word = word.to_ascii_lowercase();
            for (group, hits) in GROUPS.iter().zip(&mut count.hits) {
                if group.words.contains(&word.as_str()) {
                    hits.push(format!("{path}:{number}: {}", line.trim()));
                }
            }
        }
    }
}

/// The lines with a banned word, in prose or as a part of a name: `user_shelf`, `ShelfKey`.
fn banned(path: &str, text: &str) -> Vec<String> {
    let words: Vec<(&str, &str)> =
        BANNED.lines().filter_map(|line| line.split_once(" = ")).collect();
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for part in parts(line) {
            if let Some((word, term)) = words.iter().find(|(word, _)| *word == part) {
                found.push(format!("{path}:{}: \"{word}\" is called {term}", number + 1));
            }
        }
    }
    found
}

/// The words of a line in lower case, names taken apart at underscores and capitals.
fn parts(line: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut after_lower = false;
    for letter in line.chars() {
        if !letter.is_ascii_alphabetic() || (letter.is_ascii_uppercase() && after_lower) {
            parts.push(String::new());
        }
        after_lower = letter.is_ascii_lowercase();
        if letter.is_ascii_alphabetic()
            && let Some(part) = parts.last_mut()
        {
            part.push(letter.to_ascii_lowercase());
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(path: &str, text: &str) -> [usize; GROUPS.len()] {
        let mut found = Count::default();
        let prose = prose_of(Path::new(path), text).expect("a file with prose");
        count(path, &prose, &mut found);
        found.hits.map(|hits| hits.len())
    }

    #[test]
    fn comments_count_and_code_does_not() {
        assert_eq!(hits("a.rs", "/// Whoever asks\nfn who() {} // who\n"), [1, 0, 0, 0]);
        assert_eq!(hits("a.rs", "// `what` it is, what\n"), [0, 1, 0, 0]);
        assert_eq!(hits("a.sql", "-- one's own\nSELECT what;\n"), [0, 0, 1, 0]);
        assert_eq!(hits("a.md", "It lies.\n```sh\nwhat\n```\nSomebody.\n"), [1, 0, 0, 1]);
        assert!(prose_of(Path::new("a.toml"), "# what").is_none());
    }

    #[test]
    fn a_banned_word_is_found_inside_a_name() {
        let (word, _) = BANNED.lines().find_map(|line| line.split_once(" = ")).expect("a word");
        let mut name = word.to_owned();
        name[..1].make_ascii_uppercase();
        for line in [format!("let my_{word} = 1;"), format!("struct {name}Key;"), word.to_owned()] {
            assert_eq!(banned("a.rs", &line).len(), 1, "{line}");
        }
        assert!(banned("a.rs", &format!("{word}ful")).is_empty());
    }
}
