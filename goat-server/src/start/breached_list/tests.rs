//! Searches of breached-password lists, compared with a model, and the number of their reads.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::*;

/// A list in memory.
struct Bytes(Vec<u8>);

impl ReadAt for Bytes {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let at = usize::try_from(offset).expect("an offset");
        let found = self.0.get(at..at + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(found);
        Ok(())
    }
}

/// A list that counts the reads.
struct Counting<R> {
    source: R,
    reads: AtomicU64,
    bytes: AtomicU64,
}

impl<R> Counting<R> {
    fn new(source: R) -> Self {
        Self { source, reads: AtomicU64::new(0), bytes: AtomicU64::new(0) }
    }

    /// Returns the reads and their bytes since the last call.
    fn take(&self) -> (u64, u64) {
        (self.reads.swap(0, Ordering::Relaxed), self.bytes.swap(0, Ordering::Relaxed))
    }
}

impl<R: ReadAt> ReadAt for Counting<R> {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        self.source.read_exact_at(buffer, offset)
    }
}

fn list(text: &[u8], block: usize) -> Result<BreachedList<Bytes>, ListError> {
    let list = BreachedList::new(Bytes(text.to_vec()), text.len() as u64)?;
    Ok(BreachedList { block, ..list })
}

/// The form of a file.
#[derive(Clone, Copy, Debug)]
struct Form {
    crlf: bool,
    final_end: bool,
    lower: bool,
}

const PUBLISHED: Form = Form { crlf: true, final_end: true, lower: false };

fn line(hash: &Hash, count: u64, lower: bool) -> String {
    hash.iter()
        .map(|byte| if lower { format!("{byte:02x}") } else { format!("{byte:02X}") })
        .chain([format!(":{count}")])
        .collect()
}

/// Returns the file of a list, with counts of different lengths.
fn file(hashes: &BTreeSet<Hash>, form: Form) -> Vec<u8> {
    let end = if form.crlf { "\r\n" } else { "\n" };
    let count = |hash: &Hash| 10_u64.pow(u32::from(hash[19] % 20)) + u64::from(hash[18]);
    let lines: Vec<_> = hashes.iter().map(|hash| line(hash, count(hash), form.lower)).collect();
    let last = if form.final_end { end } else { "" };
    (lines.join(end) + last).into_bytes()
}

/// Returns the next greater and the next smaller hash.
fn neighbours(hash: &Hash) -> [Hash; 2] {
    let step = |edge: u8, change: fn(u8) -> u8| {
        let mut stepped = *hash;
        for byte in stepped.iter_mut().rev() {
            let carries = *byte == edge;
            *byte = change(*byte);
            if !carries {
                break;
            }
        }
        stepped
    };
    [step(0xff, |byte| byte.wrapping_add(1)), step(0, |byte| byte.wrapping_sub(1))]
}

/// Returns hashes of which many have a long prefix in common.
fn hashes() -> impl Strategy<Value = BTreeSet<Hash>> {
    let byte = prop_oneof![Just(0), Just(0x7f), Just(0xff), any::<u8>()];
    let random = any::<Hash>().boxed();
    let close = (0_usize..20, byte.clone(), byte).prop_map(|(at, filling, other)| {
        let mut hash = [filling; 20];
        hash[at] = other;
        hash
    });
    prop::collection::btree_set(prop_oneof![random, close], 1..120)
}

fn forms() -> impl Strategy<Value = Form> {
    any::<(bool, bool, bool)>().prop_map(|(crlf, final_end, lower)| Form { crlf, final_end, lower })
}

proptest! {
    /// A search finds exactly the listed hashes, in any form of the file.
    #[test]
    fn search_agrees_with_a_model(
        hashes in hashes(),
        form in forms(),
        others in prop::collection::vec(any::<Hash>(), 4),
        block in 2 * WINDOW..2000,
    ) {
        let list = list(&file(&hashes, form), block).expect("lines");
        list.check().expect("a sound list");
        let neighbours = hashes.iter().flat_map(neighbours);
        for asked in hashes.iter().copied().chain(neighbours).chain(others).chain([[0; 20], GREATEST]) {
            let found = list.contains(&asked).expect("a sound list");
            prop_assert_eq!(found, hashes.contains(&asked));
        }
    }

    /// Of a list that is cut at any byte, a search fails or agrees with the lines that are left.
    #[test]
    fn cut_list_has_no_other_answers(
        hashes in hashes(),
        form in forms(),
        cut in any::<prop::sample::Index>(),
        block in 2 * WINDOW..1000,
    ) {
        let text = file(&hashes, form);
        let cut = cut.index(text.len());
        let Ok(list) = list(&text[..cut], block) else { return Ok(()) };
        let lines = text[..cut].split(|&byte| byte == b'\n').filter(|line| line.len() > DIGITS + 1);
        let left: BTreeSet<Hash> = lines.filter_map(|line| parse_hash(&line[..DIGITS])).collect();
        for asked in &hashes {
            if let Ok(found) = list.contains(asked) {
                prop_assert_eq!(found, left.contains(asked));
            }
        }
    }

    /// Any bytes give an answer or an error, after a bounded number of reads.
    #[test]
    fn arbitrary_bytes_end_the_search(
        text in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b':'), Just(b'A'), any::<u8>()], 1..3000),
        asked in any::<Hash>(),
    ) {
        let length = text.len() as u64;
        let list = BreachedList::new(Counting::new(Bytes(text)), length).expect("bytes");
        let list = BreachedList { block: 2 * WINDOW, ..list };
        let _ = list.check();
        list.source.take();
        let _ = list.contains(&asked);
        prop_assert!(list.source.take().0 <= 16);
    }
}

#[test]
fn one_line_is_a_list() {
    for text in [
        "0000000A1D4B746FAA3FD526FF6D5BC8052FDB38:16",
        "0000000a1d4b746faa3fd526ff6d5bc8052fdb38:16\r\n",
    ] {
        let list = list(text.as_bytes(), BLOCK).expect("a line");
        list.check().expect("a sound list");
        let hash = parse_hash(&text.as_bytes()[..DIGITS]).expect("a hash");
        assert!(list.contains(&hash).expect("a sound list"));
        for neighbour in neighbours(&hash) {
            assert!(!list.contains(&neighbour).expect("a sound list"));
        }
    }
}

/// The first and the last line of a file with several blocks, and the hashes before, between and after.
#[test]
fn first_and_last_line_are_found() {
    let hashes: BTreeSet<Hash> = (1..5000_u32)
        .map(|number| {
            let mut hash = [0; 20];
            hash[1..5].copy_from_slice(&(number * 800_000).to_be_bytes());
            hash
        })
        .collect();
    let text = file(&hashes, PUBLISHED);
    assert!(text.len() > 10 * BLOCK);
    let list = list(&text, BLOCK).expect("lines");
    list.check().expect("a sound list");
    for edge in [hashes.first(), hashes.last()] {
        let edge = edge.expect("a hash");
        assert!(list.contains(edge).expect("a sound list"));
        for neighbour in neighbours(edge) {
            assert!(!list.contains(&neighbour).expect("a sound list"));
        }
    }
    for outside in [[0; 20], GREATEST] {
        assert!(!list.contains(&outside).expect("a sound list"));
    }
}

#[test]
fn faults_name_the_line() {
    let hash = |digit: &str| digit.repeat(DIGITS);
    let sound = |digit: &str| format!("{}:7\r\n", hash(digit));
    let from = |first: u32| -> String {
        (first..first + 2000).map(|number| format!("{number:040X}:1\n")).collect()
    };
    let many = from(0);
    for (text, place, fault) in [
        ("password\r\n".to_owned(), Place::Line(1), Fault::NoHash),
        ("\u{feff}".to_owned() + &sound("1"), Place::Line(1), Fault::NoHash),
        (format!("{}:7\n", "A".repeat(39)), Place::Line(1), Fault::NoHash),
        (format!("{}:7\n", "A".repeat(41)), Place::Line(1), Fault::NoHash),
        (format!("{}:7\n", "A".repeat(32)), Place::Line(1), Fault::Ntlm),
        (hash("A"), Place::Line(1), Fault::NoHash),
        (format!("{}:\n", hash("A")), Place::Line(1), Fault::NoCount),
        (format!("{}: 7\n", hash("A")), Place::Line(1), Fault::NoCount),
        (format!("{}:-7\n", hash("A")), Place::Line(1), Fault::NoCount),
        (format!("{}:{}\n", hash("A"), "7".repeat(21)), Place::Line(1), Fault::NoCount),
        (format!("{}:{}\n", hash("A"), "7".repeat(99)), Place::Line(1), Fault::TooLong),
        ("\0".repeat(3 * BLOCK), Place::Line(1), Fault::NoHash),
        (sound("1") + "\r\n" + &sound("2"), Place::Line(2), Fault::NoHash),
        (sound("1") + &sound("3") + &sound("2"), Place::Line(3), Fault::Unsorted),
        (sound("1") + &sound("2") + "\n", Place::Line(3), Fault::NoHash),
        (many.clone() + &hash("F"), Place::Last, Fault::NoHash),
        (many.clone() + &hash("0") + ":1", Place::Last, Fault::Unsorted),
        (many.clone() + &format!("{}:7\n", "F".repeat(32)), Place::Last, Fault::Ntlm),
        // The first whole line of the last block is line 3620 of 4000, each of 43 bytes.
        (from(10_000) + &many, Place::Byte(3619 * 43), Fault::Unsorted),
    ] {
        let checked = list(text.as_bytes(), BLOCK).expect("lines").check();
        let Err(ListError::Line(found, found_fault)) = checked else {
            panic!("{:?}… is refused: {checked:?}", &text[..20.min(text.len())]);
        };
        assert_eq!(found_fault, fault, "{:?}…", &text[..20.min(text.len())]);
        assert_eq!(found, place, "{:?}…", &text[..20.min(text.len())]);
        let shown = ListError::Line(found, found_fault).to_string();
        assert!(!shown.contains(&hash("A")) && !shown.contains(&hash("0")), "{shown}");
    }
    assert!(matches!(list(b"", BLOCK), Err(ListError::Empty)));
}

/// A list whose lines a rule makes, of any size.
struct Regular {
    lines: u64,
}

impl Regular {
    /// The bytes of a line.
    const LINE: u64 = 46;

    fn hash(&self, number: u64) -> Hash {
        let mut hash = [0; 20];
        let step = u64::MAX / self.lines;
        hash[..8].copy_from_slice(&(number * step).to_be_bytes());
        hash
    }

    fn length(&self) -> u64 {
        self.lines * Self::LINE
    }
}

impl ReadAt for Regular {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if offset + buffer.len() as u64 > self.length() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (first, skipped) = (offset / Self::LINE, offset % Self::LINE);
        let after = (offset + buffer.len() as u64).div_ceil(Self::LINE);
        let text: String = (first..after)
            .map(|number| line(&self.hash(number), 100 + number % 900, false) + "\r\n")
            .collect();
        let skipped = usize::try_from(skipped).expect("a place in a line");
        buffer.copy_from_slice(&text.as_bytes()[skipped..skipped + buffer.len()]);
        Ok(())
    }
}

/// A list of 41 GB, as that of Have I Been Pwned, takes two dozen reads.
#[test]
fn reads_grow_with_the_logarithm_of_the_size() {
    for (lines, most) in [(1, 2), (300, 2), (1_000_000, 15), (900_000_000, 25)] {
        let regular = Regular { lines };
        let length = regular.length();
        let list = BreachedList::new(Counting::new(regular), length).expect("lines");
        list.check().expect("a sound list");
        assert!(list.source.take().0 <= 2);
        for number in [0, 1, lines / 3, lines / 2, lines.saturating_sub(2), lines - 1] {
            let hash = list.source.source.hash(number.min(lines - 1));
            assert!(list.contains(&hash).expect("a sound list"), "{number} of {lines}");
            let (reads, bytes) = list.source.take();
            assert!(reads <= most, "{reads} reads of {lines} lines");
            assert!(bytes <= most * WINDOW as u64 + BLOCK as u64, "{bytes} bytes");
            assert!(!list.contains(&neighbours(&hash)[0]).expect("a sound list"));
            assert!(list.source.take().0 <= most);
        }
    }
}

/// The same on a disk, with lines of different lengths.
#[test]
fn file_of_a_million_lines_is_searched_on_disk() {
    const LINES: u64 = 1_000_000;
    let regular = Regular { lines: LINES };
    let mut file = io::BufWriter::new(tempfile::tempfile().expect("a file"));
    for number in 0..LINES {
        let line = line(&regular.hash(number), 1 + number * number, false);
        writeln!(file, "{line}").expect("space");
    }
    let file = file.into_inner().expect("space");
    let length = file.metadata().expect("a file").len();
    let list = BreachedList::new(Counting::new(file), length).expect("lines");
    list.check().expect("a sound list");
    for number in (0..LINES).step_by(9973).chain([LINES - 1]) {
        list.source.take();
        let hash = regular.hash(number);
        assert!(list.contains(&hash).expect("a sound list"), "{number}");
        for neighbour in neighbours(&hash) {
            assert!(!list.contains(&neighbour).expect("a sound list"), "{number}");
        }
        let (reads, _) = list.source.take();
        assert!(reads <= 3 * 15, "{reads} reads");
    }
}
