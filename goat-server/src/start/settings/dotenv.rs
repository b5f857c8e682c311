//! The `.env` file: parsed line by line, without changing the environment of the process.

use std::cell::Cell;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, absolute};

use super::problem::Problem;

/// One variable of the file.
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) name: String,
    pub(super) value: String,
    /// The names of the variables that were substituted in the value.
    pub(super) substitutions: Vec<String>,
}

/// The variables of the file, and its malformed lines.
#[derive(Default)]
pub(super) struct File {
    pub(super) lines: Vec<Line>,
    pub(super) problems: Vec<Problem>,
}

/// Reads the file, if it exists.
///
/// The content of a malformed line is not shown: it may be a secret.
///
/// # Errors
///
/// If it exists and cannot be read.
pub(super) fn read(path: &Path) -> Result<File, Problem> {
    let file = path.display().to_string();
    let content = match fs::read(path) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(File::default()),
        Err(error) => {
            let file = absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string();
            return Err(Problem::new(file, "", format!("cannot be read: {error}")));
        }
    };
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&content);
    let taken = Cell::new(0);
    let mut items = dotenvy::Iter::new(LineByLine { rest: content, taken: &taken });
    let mut lines = Vec::new();
    let mut problems = Vec::new();
    loop {
        let number = next_item(content, taken.get());
        let message = match items.next() {
            Some(Ok((name, value))) => {
                let substitutions = substitutions(&raw(content, number, taken.get()));
                lines.push(Line { number, name, value, substitutions });
                continue;
            }
            Some(Err(dotenvy::Error::LineParse(..))) => {
                "is not NAME=value; put a value with spaces or special characters in 'single quotes'"
            }
            Some(Err(_)) => "is not valid UTF-8",
            None => return Ok(File { lines, problems }),
        };
        problems.push(Problem::new(file.clone(), format!(" line {number}"), message));
    }
}

/// Returns the lines from `first` to `last`, counted from 1, as they are in the file.
fn raw(content: &[u8], first: usize, last: usize) -> String {
    let lines = content.split(|byte| *byte == b'\n').skip(first - 1).take(last + 1 - first);
    let lines: Vec<_> = lines.map(String::from_utf8_lossy).collect();
    lines.join("\n")
}

/// Returns the names of the variables that the parser substitutes in the value of an item: `$name` and
/// `${name}`, outside of single quotes. A `$` without a name has the empty name, which has no value.
fn substitutions(item: &str) -> Vec<String> {
    let (_, value) = item.split_once('=').unwrap_or_default();
    let mut rest = value.trim_start().chars().peekable();
    let mut names = Vec::new();
    let mut quote = None;
    while let Some(c) = rest.next() {
        match (quote, c) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (Some('\''), _) => {}
            (_, '\\') => drop(rest.next()),
            (_, '$') => {
                let mut name = String::new();
                if rest.next_if_eq(&'{').is_some() {
                    name.extend(rest.by_ref().take_while(|c| *c != '}'));
                } else {
                    while let Some(c) = rest.next_if(|c| c.is_alphanumeric()) {
                        name.push(c);
                    }
                }
                names.push(name);
            }
            (None, '\'' | '"') => quote = Some(c),
            // Only a comment can follow.
            (None, ' ' | '\t') => break,
            _ => {}
        }
    }
    names
}

/// Returns the number of the first line after `after` that is neither blank nor a comment: the line
/// where the next item begins, however many lines it spans.
fn next_item(content: &[u8], after: usize) -> usize {
    let skipped = content
        .split(|byte| *byte == b'\n')
        .skip(after)
        .take_while(|line| matches!(line.trim_ascii_start().first(), None | Some(b'#')))
        .count();
    after + skipped + 1
}

/// Returns a single line per read, so that the count tells which line is being parsed; the parser
/// does not report it.
struct LineByLine<'a> {
    rest: &'a [u8],
    taken: &'a Cell<usize>,
}

impl Read for LineByLine<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let end =
            self.rest.iter().position(|byte| *byte == b'\n').map_or(self.rest.len(), |at| at + 1);
        let count = end.min(buffer.len());
        let (now, rest) = self.rest.split_at(count);
        buffer[..count].copy_from_slice(now);
        self.rest = rest;
        // A line longer than the buffer is read in parts and counted with its last.
        if count > 0 && count == end {
            self.taken.set(self.taken.get() + 1);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn substitutions_are_found_where_the_parser_makes_them() {
        for (item, expected) in [
            ("A=b", &[][..]),
            ("A=$b", &["b"]),
            ("export A= ${b}c$d", &["b", "d"]),
            ("A=\"$b c\" # $d", &["b"]),
            ("A='$b'$c", &["c"]),
            (r"A=\$b", &[]),
            ("A=b$", &[""]),
            ("A=b$$c", &["", "c"]),
            ("A=$b_c", &["b"]),
            ("A=\"b\n$c\"", &["c"]),
        ] {
            assert_eq!(substitutions(item), expected, "{item}");
        }
    }
}
