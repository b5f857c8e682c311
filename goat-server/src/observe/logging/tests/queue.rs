//! W7: the bounded queue and its writer thread.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::super::queue::{LineCounts, LineKind, LineQueue};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

/// A stream that is blocked until it is opened, and that can fail.
#[derive(Clone, Default)]
struct Stream(Arc<(Mutex<StreamState>, Condvar)>);

#[derive(Default)]
struct StreamState {
    is_open: bool,
    /// Lines that may be written while the stream is blocked.
    allowed: usize,
    /// How the next writes fail, if they do.
    failures: VecDeque<Option<io::ErrorKind>>,
    written: Vec<u8>,
    /// How many writes have begun.
    calls: usize,
}

impl Stream {
    fn change(&self, change: impl FnOnce(&mut StreamState)) {
        change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
    }

    fn open(&self) {
        self.change(|state| state.is_open = true);
    }

    fn lines(&self) -> Vec<String> {
        let state = self.0.0.lock().unwrap();
        String::from_utf8(state.written.clone()).unwrap().lines().map(str::to_owned).collect()
    }

    /// Waits until a write has begun, so that its line is no longer in the queue.
    fn wait_for_call(&self) {
        let state = self.0.0.lock().unwrap();
        let waited = self.0.1.wait_timeout_while(state, LONG, |state| state.calls == 0);
        assert!(!waited.unwrap().1.timed_out());
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.0.lock().unwrap();
        state.calls += 1;
        self.0.1.notify_all();
        let mut state =
            self.0.1.wait_while(state, |state| !state.is_open && state.allowed == 0).unwrap();
        state.allowed = state.allowed.saturating_sub(1);
        if let Some(Some(kind)) = state.failures.pop_front() {
            return Err(kind.into());
        }
        // Line by line in two parts, so that a failure can hit the middle of each.
        let line = bytes.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default().len();
        let count = if line > 8 { line / 2 } else { line };
        state.written.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn queue(stream: &Stream) -> LineQueue {
    let report = |dropped: LineCounts| {
        let [request, security, server] = LineKind::ALL.map(|kind| dropped.of(kind));
        format!("dropped {request} {security} {server}\n").into_bytes()
    };
    LineQueue::start(stream.clone(), report).unwrap()
}

fn push(queue: &LineQueue, kind: LineKind, text: &str) {
    queue.push(kind, format!("{text}\n").as_bytes());
}

/// A line of one mebibyte.
fn large() -> String {
    "x".repeat(1024 * 1024)
}

#[test]
fn lines_are_written_whole_and_in_order() {
    let stream = Stream::default();
    let queue = queue(&stream);
    let texts: Vec<String> = (0..1000).map(|number| format!("line number {number}")).collect();
    for (number, text) in texts.iter().enumerate() {
        push(&queue, LineKind::ALL[number % 3], text);
    }
    assert!(!queue.flush(Duration::from_millis(10)), "the stream is blocked");
    stream.open();
    assert!(queue.flush(LONG));
    assert_eq!(stream.lines(), texts);
}

#[test]
fn full_queue_drops_lines_of_requests_and_keeps_a_quarter_for_the_others() {
    let stream = Stream::default();
    let queue = queue(&stream);
    // One more than fits into three quarters of four mebibytes.
    for _ in 0..3 {
        push(&queue, LineKind::Request, &large());
    }
    assert_eq!(queue.dropped(LineKind::Request), 1);
    for number in 0..100 {
        push(&queue, LineKind::Security, &format!("security event {number}"));
        push(&queue, LineKind::Server, &format!("server line {number}"));
    }
    assert_eq!(LineKind::ALL.map(|kind| queue.dropped(kind)), [1, 0, 0]);
    stream.open();
    assert!(queue.flush(LONG));
    let lines = stream.lines();
    assert_eq!(lines.len(), 2 + 200 + 1);
    assert_eq!(lines[2], "security event 0");
    assert_eq!(lines[202], "dropped 1 0 0", "the report follows the lines before the drop");
}

#[test]
fn security_event_waits_for_a_place_and_only_once_while_nothing_is_written() {
    let stream = Stream::default();
    let queue = queue(&stream);
    for _ in 0..3 {
        push(&queue, LineKind::Server, &large());
    }
    push(&queue, LineKind::Server, &"x".repeat(1024 * 1024 - 1024));
    let start = Instant::now();
    push(&queue, LineKind::Security, &large());
    assert!(start.elapsed() >= Duration::from_millis(100), "{:?}", start.elapsed());
    assert_eq!(queue.dropped(LineKind::Security), 1);
    for _ in 0..300 {
        push(&queue, LineKind::Security, &large());
    }
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    assert_eq!(queue.dropped(LineKind::Security), 301);
}

#[test]
fn security_event_takes_a_place_that_becomes_free() {
    let stream = Stream::default();
    let queue = queue(&stream);
    for _ in 0..3 {
        push(&queue, LineKind::Server, &large());
    }
    stream.wait_for_call();
    // The event does not wait for longer than the queue allows, so a busy machine needs some tries.
    let kept = (0..100).any(|_| {
        let before = queue.dropped(LineKind::Security);
        std::thread::scope(|scope| {
            let event = scope.spawn(|| push(&queue, LineKind::Security, &large()));
            stream.change(|state| state.allowed = 2);
            event.join().unwrap();
        });
        queue.dropped(LineKind::Security) == before
    });
    assert!(kept);
}

#[test]
fn line_that_cannot_be_written_is_counted_and_reported() {
    let stream = Stream::default();
    let queue = queue(&stream);
    stream.change(|state| {
        // The second half of the first line fails, and the second line.
        state.failures = [
            None,
            Some(io::ErrorKind::StorageFull),
            Some(io::ErrorKind::StorageFull),
            Some(io::ErrorKind::WouldBlock),
            Some(io::ErrorKind::Interrupted),
        ]
        .into();
    });
    for text in ["the first line", "the second line", "the third line"] {
        push(&queue, LineKind::Server, text);
    }
    stream.open();
    assert!(queue.flush(LONG));
    assert_eq!(queue.dropped(LineKind::Server), 2);
    assert_eq!(stream.lines(), ["the fir", "the third line", "dropped 0 0 2"]);
}

#[test]
fn flush_gives_up_on_a_blocked_stream() {
    let stream = Stream::default();
    let queue = queue(&stream);
    assert!(queue.flush(LONG), "nothing is queued");
    push(&queue, LineKind::Server, "a line");
    let start = Instant::now();
    assert!(!queue.flush(LONG));
    assert!(start.elapsed() < LONG / 2, "{:?}", start.elapsed());
}
