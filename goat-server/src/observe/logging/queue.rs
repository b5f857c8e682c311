//! Log queue: a bounded queue of lines and the thread that writes them, so that a request never waits
//! for the output (W7).
//!
//! Invariants:
//! - lines of one queue are written whole and in the order of the calls;
//! - the queue holds at most [`CAPACITY`] bytes. Lines of requests may fill three quarters of it; the
//!   rest is kept for security events and the server's own lines;
//! - when there is no place, the line is dropped and counted. A security event waits for a place for
//!   at most [`SECURITY_WAIT`] before that, and only the first one while nothing is written, so that
//!   a blocked output delays a thread once;
//! - a line that cannot be written (the reader of the pipe has exited, the disk is full) counts as
//!   dropped too. Once lines can be written again, a line reports how many are missing;
//! - many lines are one write, and lines of requests wait up to [`BATCH_DELAY`] for others: a wake-up of
//!   the thread and a write per line would cost more than the rest of the line.
//!
//! `tracing-appender`'s `NonBlocking` is not used: it bounds lines and not bytes, and either drops or
//! blocks for every line alike, so security events would be lost with the requests, or requests would
//! wait with the security events. Two of it would not keep the order of lines.

use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Maximum size of the queued lines, in bytes: some seconds of a busy server.
const CAPACITY: usize = 4 * 1024 * 1024;

/// The part of [`CAPACITY`] that lines of requests may fill.
const REQUEST_CAPACITY: usize = CAPACITY / 4 * 3;

/// Memory of a queued line besides its text.
const OVERHEAD: usize = 64;

/// How long a security event waits for a place.
const SECURITY_WAIT: Duration = Duration::from_millis(100);

/// How long [`LineQueue::flush`] waits without progress: the output is blocked then.
const STALLED: Duration = Duration::from_millis(500);

/// How long lines of requests wait for others, to be written with them.
const BATCH_DELAY: Duration = Duration::from_millis(5);

/// Maximum size of the lines of one write, unless one line alone is larger.
const BATCH: usize = 64 * 1024;

/// Backoff of a stream in non-blocking mode that accepts no bytes.
const WOULD_BLOCK_BACKOFF: Duration = Duration::from_millis(10);

/// How long a report of dropped lines waits for the queue to become empty.
const REPORT_DELAY: Duration = Duration::from_secs(10);

/// The kind of a line, which decides its place when the queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineKind {
    /// A line of a request, or a line for debugging: clients decide how many there are.
    Request,
    /// A security event.
    Security,
    /// A line of the server itself.
    Server,
}

impl LineKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Request, Self::Security, Self::Server];

    fn of(metadata: &Metadata<'_>) -> Self {
        match metadata.target() {
            super::request::TARGET => Self::Request,
            crate::observe::audit::TARGET => Self::Security,
            _ if *metadata.level() > Level::INFO => Self::Request,
            _ => Self::Server,
        }
    }

    /// Returns the name for labels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Security => "security",
            Self::Server => "server",
        }
    }

    const fn capacity(self) -> usize {
        match self {
            Self::Request => REQUEST_CAPACITY,
            Self::Security | Self::Server => CAPACITY,
        }
    }
}

/// A number of lines of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LineCounts([u64; LineKind::ALL.len()]);

impl LineCounts {
    pub(super) const fn of(self, kind: LineKind) -> u64 {
        self.0[kind as usize]
    }

    fn since(self, earlier: Self) -> Self {
        let mut counts = self;
        for (count, earlier) in counts.0.iter_mut().zip(earlier.0) {
            *count -= earlier;
        }
        counts
    }
}

/// A queue of lines for one stream. Clones share it. Its thread ends with the process.
#[derive(Clone)]
pub struct LineQueue {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Signals the writer thread that there is a line.
    filled: Condvar,
    /// Signals the callers that a line was written or dropped.
    progressed: Condvar,
    dropped: [AtomicU64; LineKind::ALL.len()],
    /// Formats the report of dropped lines.
    report: Box<dyn Fn(LineCounts) -> Vec<u8> + Send + Sync>,
}

#[derive(Default)]
struct State {
    lines: Lines,
    /// Size of the queued lines, and of those that are being written.
    bytes: usize,
    /// Whether the writer thread waits for a line.
    is_idle: bool,
    /// Whether the lines must be written without a delay.
    is_urgent: bool,
    /// Whether the writer thread is at work on lines or a report.
    is_writing: bool,
    /// How often lines have left the queue.
    progress: u64,
    /// Whether a security event waited in vain, and no line has left the queue since.
    is_stalled: bool,
}

impl State {
    fn has_place(&self, kind: LineKind, cost: usize) -> bool {
        // A line over the capacity is accepted by the empty queue.
        self.bytes == 0 || self.bytes + cost <= kind.capacity()
    }
}

/// Lines in order, with their line breaks.
#[derive(Default)]
struct Lines {
    text: Vec<u8>,
    /// Kind and length of each.
    each: Vec<(LineKind, usize)>,
}

impl Lines {
    fn push(&mut self, kind: LineKind, line: &[u8]) {
        self.text.extend_from_slice(line);
        self.each.push((kind, line.len()));
    }

    fn is_empty(&self) -> bool {
        self.each.is_empty()
    }

    /// Removes all lines, and keeps the memory of a usual number of them.
    fn clear(&mut self) {
        self.text.clear();
        self.each.clear();
        self.text.shrink_to(BATCH);
        self.each.shrink_to(BATCH / OVERHEAD);
    }
}

impl LineQueue {
    /// Starts the thread that writes lines to `stream`. `report` formats the line about dropped lines.
    pub(super) fn start(
        stream: impl Write + Send + 'static,
        report: impl Fn(LineCounts) -> Vec<u8> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            filled: Condvar::new(),
            progressed: Condvar::new(),
            dropped: Default::default(),
            report: Box::new(report),
        });
        let writer = Writer { shared: Arc::clone(&shared), stream, is_broken: false };
        thread::Builder::new().name("log-writer".to_owned()).spawn(move || writer.run())?;
        Ok(Self { shared })
    }

    /// Queues a line, or drops and counts it if there is no place.
    pub(crate) fn push(&self, kind: LineKind, line: &[u8]) {
        let cost = line.len() + OVERHEAD;
        let mut state = self.shared.lock();
        if kind == LineKind::Security && !state.has_place(kind, cost) && !state.is_stalled {
            let waited = self.shared.progressed.wait_timeout_while(state, SECURITY_WAIT, |state| {
                !state.has_place(kind, cost) && !state.is_stalled
            });
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.is_stalled = !state.has_place(kind, cost);
        }
        if !state.has_place(kind, cost) {
            self.shared.count_dropped(kind);
            return;
        }
        state.bytes += cost;
        state.lines.push(kind, line);
        // The thread needs no signal for a line that it will find anyway.
        let is_first = std::mem::take(&mut state.is_idle);
        let ends_delay = !state.is_urgent && (kind != LineKind::Request || state.bytes >= BATCH);
        state.is_urgent |= ends_delay;
        drop(state);
        if is_first || ends_delay {
            self.shared.filled.notify_one();
        }
    }

    /// Returns how many lines of a kind were dropped.
    #[must_use]
    pub fn dropped(&self, kind: LineKind) -> u64 {
        self.shared.dropped().of(kind)
    }

    /// Waits until all lines are written, for at most `limit`, or until the output is blocked. Returns
    /// whether they are.
    pub fn flush(&self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        let mut state = self.shared.lock();
        state.is_urgent = true;
        self.shared.filled.notify_one();
        loop {
            if state.lines.is_empty() && !state.is_writing {
                return true;
            }
            let time = end.saturating_duration_since(Instant::now()).min(STALLED);
            let before = state.progress;
            let waited = self
                .shared
                .progressed
                .wait_timeout_while(state, time, |state| state.progress == before);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if state.progress == before {
                return false;
            }
        }
    }
}

impl fmt::Debug for LineQueue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LineQueue")
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code under this lock panics halfway, so a poisoned state is consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_dropped(&self, kind: LineKind) {
        self.dropped[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn dropped(&self) -> LineCounts {
        LineCounts([0, 1, 2].map(|kind: usize| self.dropped[kind].load(Ordering::Relaxed)))
    }

    /// Waits for lines, takes them in exchange for an empty buffer, and marks the writer as busy.
    fn take(&self, lines: &mut Lines) {
        let mut state = self.lock();
        while state.lines.is_empty() {
            state.is_idle = true;
            state.is_urgent = false;
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let waited = self.filled.wait_timeout_while(state, BATCH_DELAY, |state| !state.is_urgent);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.is_idle = false;
        state.is_urgent = false;
        state.is_writing = true;
        std::mem::swap(&mut state.lines, lines);
    }

    /// Frees the place of lines.
    fn done(&self, cost: usize) {
        let mut state = self.lock();
        state.bytes -= cost;
        state.is_stalled = false;
        state.progress += 1;
        self.progressed.notify_all();
    }

    /// Whether the queue is empty.
    fn is_empty(&self) -> bool {
        self.lock().lines.is_empty()
    }

    /// Marks the writer as idle.
    fn rest(&self) {
        let mut state = self.lock();
        state.is_writing = false;
        state.progress += 1;
        self.progressed.notify_all();
    }
}

/// The writer thread.
struct Writer<W> {
    shared: Arc<Shared>,
    stream: W,
    /// Whether the stream failed in the middle of a line.
    is_broken: bool,
}

impl<W: Write> Writer<W> {
    fn run(mut self) {
        let mut reported = LineCounts::default();
        // Since when lines can be written again after some were dropped.
        let mut flowing: Option<Instant> = None;
        let mut lines = Lines::default();
        loop {
            self.shared.take(&mut lines);
            let is_written = self.write_lines(&lines);
            lines.clear();
            let dropped = self.shared.dropped();
            if is_written && dropped != reported {
                let since = *flowing.get_or_insert_with(Instant::now);
                if self.shared.is_empty() || since.elapsed() >= REPORT_DELAY {
                    let report = (self.shared.report)(dropped.since(reported));
                    if self.write(&report).is_ok() {
                        (reported, flowing) = (dropped, None);
                    }
                }
            }
            self.shared.rest();
        }
    }

    /// Writes lines, and frees and counts them. Returns whether the last one is written.
    fn write_lines(&mut self, lines: &Lines) -> bool {
        let (mut text, mut each) = (lines.text.as_slice(), lines.each.as_slice());
        let mut is_written = false;
        while !each.is_empty() {
            let (count, size) = batch(each);
            let (batch, rest) = each.split_at(count);
            let (batch_text, rest_text) = text.split_at(size);
            is_written = self.write_batch(batch_text, batch);
            self.shared.done(size + count * OVERHEAD);
            (text, each) = (rest_text, rest);
        }
        is_written
    }

    /// Writes lines at once; those after one that cannot be written, again. Returns whether the last one
    /// is written.
    fn write_batch(&mut self, mut text: &[u8], mut each: &[(LineKind, usize)]) -> bool {
        loop {
            let before = text.len();
            let Err(left) = self.write(text) else { return true };
            let mut done = before - left;
            // Skips the lines that are written, and the one that is not.
            while let [(kind, length), rest @ ..] = each {
                (each, text) = (rest, &text[*length..]);
                if done < *length {
                    self.shared.count_dropped(*kind);
                    break;
                }
                done -= length;
            }
            if each.is_empty() {
                return false;
            }
        }
    }

    /// Writes text, after a line break if the line before it is broken.
    ///
    /// # Errors
    ///
    /// The number of bytes that are not written.
    fn write(&mut self, text: &[u8]) -> Result<(), usize> {
        if self.is_broken {
            self.write_all(b"\n").map_err(|_| text.len())?;
            self.is_broken = false;
        }
        let result = self.write_all(text);
        if let Err(left) = result {
            let written = &text[..text.len() - left];
            self.is_broken = written.last().is_some_and(|last| *last != b'\n');
        }
        result
    }

    /// Writes all bytes, also to a stream in non-blocking mode.
    ///
    /// # Errors
    ///
    /// The number of bytes that are not written.
    fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), usize> {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(0) => return Err(bytes.len()),
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    thread::sleep(WOULD_BLOCK_BACKOFF);
                }
                Err(_) => return Err(bytes.len()),
            }
        }
        Ok(())
    }
}

/// Returns how many lines are written at once, and their size.
fn batch(each: &[(LineKind, usize)]) -> (usize, usize) {
    let mut size = 0;
    let more = each.iter().skip(1).take_while(|(_, length)| {
        size += length;
        size + each[0].1 <= BATCH
    });
    let count = 1 + more.count();
    (count, each[..count].iter().map(|(_, length)| length).sum())
}

impl<'w> MakeWriter<'w> for LineQueue {
    type Writer = QueueWriter<'w>;

    fn make_writer(&'w self) -> QueueWriter<'w> {
        QueueWriter { queue: self, kind: LineKind::Server }
    }

    fn make_writer_for(&'w self, metadata: &Metadata<'_>) -> QueueWriter<'w> {
        QueueWriter { queue: self, kind: LineKind::of(metadata) }
    }
}

/// Queues lines of one kind; each write is one line.
#[derive(Clone, Copy, Debug)]
pub struct QueueWriter<'a> {
    queue: &'a LineQueue,
    kind: LineKind,
}

impl Write for QueueWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.queue.push(self.kind, line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
