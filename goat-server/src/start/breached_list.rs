//! Breached-password list: binary search over the sorted lines of Have I Been Pwned's file, on disk.
//!
//! Each line is the SHA-1 of a password in hexadecimal, a colon and a count, ordered by hash. Invariants: a
//! search reads one small window a step and one block at the end, for any size of file; and a file that is
//! not such a list is an error, never a password that is not listed.

use std::cmp::Ordering;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// A SHA-1.
pub(super) type Hash = [u8; 20];

/// The greatest SHA-1.
const GREATEST: Hash = [0xff; 20];

/// The hexadecimal digits of a SHA-1.
const DIGITS: usize = 40;

/// The hexadecimal digits of an NTLM hash.
const NTLM_DIGITS: usize = 32;

/// The digits of the greatest count, that of `u64`.
const COUNT_DIGITS: usize = 20;

/// The longest line: the hash, a colon, a count, CR and LF.
const LONGEST_LINE: usize = DIGITS + 1 + COUNT_DIGITS + 2;

/// The end of one line and the whole of the next.
const WINDOW: usize = 2 * LONGEST_LINE;

/// The range of bytes, in which a search ends, that is read at once. At least twice the window.
const BLOCK: usize = 16 * 1024;

/// A source of bytes that is read by offset.
pub(super) trait ReadAt {
    /// Fills the buffer from an offset.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buffer, offset)
    }
}

/// A sorted list of hashes.
pub(super) struct BreachedList<R> {
    source: R,
    length: u64,
    block: usize,
}

/// Why a list cannot be used. No message shows a hash.
#[derive(Debug)]
pub(super) enum ListError {
    /// The file cannot be read, or is shorter than it was.
    Unreadable(io::Error),
    /// It has no lines.
    Empty,
    /// A line is not as expected.
    Line(Place, Fault),
}

/// The place of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Its number.
    Line(u64),
    /// The offset of its first byte.
    Byte(u64),
    /// The last line.
    Last,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It does not begin with a SHA-1.
    NoHash,
    /// It begins with an NTLM hash.
    Ntlm,
    /// No count follows the hash.
    NoCount,
    /// It is longer than any line of a list.
    TooLong,
    /// Its hash is below that of a line before it.
    Unsorted,
}

impl From<io::Error> for ListError {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

impl fmt::Display for ListError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(formatter, "it cannot be read ({error})"),
            Self::Empty => formatter.write_str("it is empty"),
            Self::Line(place, fault) => {
                match place {
                    Place::Line(number) => write!(formatter, "line {number} ")?,
                    Place::Byte(offset) => write!(formatter, "the line at byte {offset} ")?,
                    Place::Last => formatter.write_str("the last line ")?,
                }
                formatter.write_str(match fault {
                    Fault::NoHash => {
                        "does not begin with a SHA-1 of 40 hexadecimal digits and a colon"
                    }
                    Fault::Ntlm => {
                        "begins with an NTLM hash, where the list of SHA-1 hashes is expected"
                    }
                    Fault::NoCount => "does not end with a count",
                    Fault::TooLong => "is longer than a SHA-1, a colon and a count",
                    Fault::Unsorted => {
                        "is out of order: the list must be ordered by hash, not by count"
                    }
                })
            }
        }
    }
}

impl std::error::Error for ListError {}

/// A line of a list.
struct Line {
    hash: Hash,
    /// With its end.
    length: usize,
}

impl Line {
    /// Parses the line at the beginning of a text, which ends at the end of the file if it is shorter than
    /// the longest line.
    fn parse(text: &[u8]) -> Result<Self, Fault> {
        let digits = text.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let hash = match (digits, text.get(digits)) {
            (DIGITS, Some(b':')) => parse_hash(&text[..DIGITS]).ok_or(Fault::NoHash)?,
            (NTLM_DIGITS, Some(b':')) => return Err(Fault::Ntlm),
            _ => return Err(Fault::NoHash),
        };
        let (line, length) = match end_of_line(text) {
            Some(length) => (&text[..length - 1], length),
            None if text.len() < LONGEST_LINE => (text, text.len()),
            None => return Err(Fault::TooLong),
        };
        let count = &line.strip_suffix(b"\r").unwrap_or(line)[DIGITS + 1..];
        if count.is_empty() || count.len() > COUNT_DIGITS || !count.iter().all(u8::is_ascii_digit) {
            return Err(Fault::NoCount);
        }
        Ok(Self { hash, length })
    }

    /// Parses a line whose hash the order of the list puts between two others.
    fn between(text: &[u8], below: Hash, above: Hash) -> Result<Self, Fault> {
        let line = Self::parse(text)?;
        if line.hash < below || line.hash > above { Err(Fault::Unsorted) } else { Ok(line) }
    }
}

fn parse_hash(digits: &[u8]) -> Option<Hash> {
    let mut hash = Hash::default();
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(hash)
}

impl BreachedList<File> {
    /// Returns the list in a file.
    ///
    /// # Errors
    ///
    /// If the file is empty, or its length cannot be read.
    pub(super) fn of(file: File) -> Result<Self, ListError> {
        let length = file.metadata()?.len();
        Self::new(file, length)
    }
}

impl<R: ReadAt> BreachedList<R> {
    fn new(source: R, length: u64) -> Result<Self, ListError> {
        if length == 0 {
            return Err(ListError::Empty);
        }
        Ok(Self { source, length, block: BLOCK })
    }

    /// The length in bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Checks the lines of the first and the last block: their form and their order.
    pub(super) fn check(&self) -> Result<(), ListError> {
        let head = self.read(0, self.block)?;
        let before = self.check_lines(&head, 0, None)?;
        let tail_at = self.length.saturating_sub(self.block as u64);
        if tail_at == 0 {
            return Ok(());
        }
        let tail = self.read(tail_at, self.block)?;
        let skipped = end_of_line(&tail).ok_or(ListError::Line(Place::Last, Fault::TooLong))?;
        // Where the blocks overlap, the first line of the second one is in the first one as well.
        let before = before.filter(|_| tail_at >= self.block as u64);
        self.check_lines(&tail[skipped..], tail_at + skipped as u64, before).map(drop)
    }

    /// Checks the lines of a text at an offset, up to one that the end of the text cuts; returns the last
    /// hash.
    fn check_lines(
        &self,
        text: &[u8],
        offset: u64,
        mut before: Option<Hash>,
    ) -> Result<Option<Hash>, ListError> {
        let ends_the_file = offset + text.len() as u64 == self.length;
        let (mut at, mut number) = (0, 0);
        while at < text.len() {
            let rest = &text[at..];
            if !ends_the_file && rest.len() < LONGEST_LINE && end_of_line(rest).is_none() {
                break;
            }
            number += 1;
            let length = end_of_line(rest).unwrap_or(rest.len());
            let line = Line::between(rest, before.unwrap_or_default(), GREATEST);
            let place = || match offset {
                0 => Place::Line(number),
                _ if at + length == text.len() => Place::Last,
                _ => Place::Byte(offset + at as u64),
            };
            before = Some(line.map_err(|fault| ListError::Line(place(), fault))?.hash);
            at += length;
        }
        Ok(before)
    }

    /// Whether the list has a hash.
    pub(super) fn contains(&self, wanted: &Hash) -> Result<bool, ListError> {
        self.check_end()?;
        // The line of the hash, if there is one, begins in this range, which begins with a line.
        let (mut from, mut to) = (0, self.length);
        let (mut below, mut above) = (Hash::default(), GREATEST);
        while to - from > self.block as u64 {
            let middle = from + (to - from) / 2;
            let window = self.read(middle, WINDOW)?;
            let skipped =
                end_of_line(&window).ok_or(ListError::Line(Place::Byte(middle), Fault::TooLong))?;
            let start = middle + skipped as u64;
            let line = Line::between(&window[skipped..], below, above)
                .map_err(|fault| ListError::Line(Place::Byte(start), fault))?;
            match wanted.cmp(&line.hash) {
                Ordering::Equal => return Ok(true),
                Ordering::Less => (to, above) = (start, line.hash),
                Ordering::Greater => (from, below) = (start + line.length as u64, line.hash),
            }
        }
        let block = self.read(from, usize::try_from(to - from).unwrap_or(self.block))?;
        let mut at = 0;
        while at < block.len() {
            let line = Line::between(&block[at..], below, above)
                .map_err(|fault| ListError::Line(Place::Byte(from + at as u64), fault))?;
            if line.hash == *wanted {
                return Ok(true);
            }
            below = line.hash;
            at += line.length;
        }
        Ok(false)
    }

    /// Checks that the last line is whole, which it is not while a list is written in its place.
    fn check_end(&self) -> Result<(), ListError> {
        let at = self.length.saturating_sub(WINDOW as u64);
        let window = self.read(at, WINDOW)?;
        let text = window.strip_suffix(b"\n").unwrap_or(&window);
        let start = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        Line::parse(&window[start..]).map(drop).map_err(|fault| ListError::Line(Place::Last, fault))
    }

    /// Reads up to `most` bytes from an offset: fewer at the end of the file only.
    fn read(&self, offset: u64, most: usize) -> Result<Vec<u8>, ListError> {
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut buffer = vec![0; most.min(left)];
        self.source.read_exact_at(&mut buffer, offset)?;
        Ok(buffer)
    }
}

/// Returns the offset after the first line end of a text, unless the line is longer than any of a list.
fn end_of_line(text: &[u8]) -> Option<usize> {
    text.iter().take(LONGEST_LINE).position(|&byte| byte == b'\n').map(|end| end + 1)
}

#[cfg(test)]
mod tests;
