//! The `.env` file: parsed line by line, without changing the environment of the process.

use std::cell::Cell;
use std::fs;
use std::io::{self, Read};
use std::path::Path;

use super::problem::Problem;

/// One variable of the file.
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) name: String,
    pub(super) value: String,
}

/// Reads the file, if it exists: its variables and its errors.
///
/// The content of a malformed line is not shown: it may be a secret.
pub(super) fn read(path: &Path) -> (Vec<Line>, Vec<Problem>) {
    let file = path.display().to_string();
    let content = match fs::read(path) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Default::default(),
        Err(error) => {
            let problem = Problem::new(file, "", format!("cannot be read: {error}"));
            return (Vec::new(), vec![problem]);
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
                lines.push(Line { number, name, value });
                continue;
            }
            Some(Err(dotenvy::Error::LineParse(..))) => {
                "is not NAME=value; put a value with spaces or special characters in 'single quotes'"
            }
            Some(Err(_)) => "is not valid UTF-8",
            None => return (lines, problems),
        };
        problems.push(Problem::new(file.clone(), format!(" line {number}"), message));
    }
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
