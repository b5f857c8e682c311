//! Console output outside the log: why a start is refused, and the output of commands.
//!
//! Invariant: a message is one line, with any content (L2), and a JSON object if `serve` is
//! configured for JSON. The log filter does not apply: with the log silenced, the operator still
//! sees why the server does not start. The messages of `serve` go through a queue, so that a standard
//! error that is not read blocks neither the server nor its exit (W7).

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use serde::Serializer as _;
use serde::ser::SerializeMap as _;

use crate::failure::Failure;
use crate::observe::logging::{LineKind, LineQueue, SafeJson, push_escaped, stderr_queue};
use crate::start::settings::LogFormat;

/// How long the exit waits for messages to be written.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);

/// The format of messages on standard error, and their way there.
#[derive(Clone, Debug)]
pub(super) struct Console {
    format: LogFormat,
    /// `None`: messages are written directly.
    queue: Option<LineQueue>,
}

impl Console {
    /// Human-readable messages.
    pub(super) fn plain() -> Self {
        Self { format: LogFormat::Pretty, queue: None }
    }

    /// The format of `serve`'s log, which goes to standard output.
    pub(super) fn of_serve(format: Option<LogFormat>) -> Self {
        let fallback = if io::stdout().is_terminal() { LogFormat::Pretty } else { LogFormat::Json };
        let format = format.unwrap_or(fallback);
        // Without a thread, messages may block, but the server can start.
        Self { format, queue: stderr_queue(format).ok() }
    }

    /// Whether the format is human-readable.
    pub(super) fn is_for_people(&self) -> bool {
        self.format == LogFormat::Pretty
    }

    /// Writes an error.
    pub(super) fn error(&self, sentence: &str) {
        self.write("ERROR", "", sentence);
    }

    /// Writes a warning.
    pub(super) fn warn(&self, sentence: &str) {
        self.write("WARN", "warning: ", sentence);
    }

    fn write(&self, level: &str, mark: &str, sentence: &str) {
        let line = self.line(level, mark, sentence);
        match &self.queue {
            Some(queue) => queue.push(LineKind::Server, &line),
            // If the stream is closed, there is no place to report it.
            None => drop(io::stderr().lock().write_all(&line)),
        }
    }

    /// Waits until the messages are written, or until the stream turns out to be blocked.
    pub(super) fn flush(&self) {
        if let Some(queue) = &self.queue {
            queue.flush(FLUSH_WITHIN);
        }
    }

    fn line(&self, level: &str, mark: &str, sentence: &str) -> Vec<u8> {
        let line = match self.format {
            LogFormat::Pretty => {
                let mut line = mark.to_owned();
                push_escaped(&mut line, sentence);
                line.into_bytes()
            }
            LogFormat::Json => json(level, sentence),
        };
        [line, b"\n".to_vec()].concat()
    }
}

/// Formats a message as a JSON object like those of the log.
fn json(level: &str, sentence: &str) -> Vec<u8> {
    let mut line = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut line, SafeJson);
    let written = serializer.serialize_map(Some(4)).and_then(|mut map| {
        map.serialize_entry("timestamp", &format!("{:.3}", jiff::Timestamp::now()))?;
        map.serialize_entry("level", level)?;
        map.serialize_entry("target", "goat_server")?;
        map.serialize_entry("message", sentence)?;
        map.end()
    });
    // Writing strings to memory does not fail; half a line would not be an object.
    if written.is_ok() { line } else { b"{}".to_vec() }
}

/// Writes to standard output. A closed pipe is not an error: its reader has read enough.
pub(super) fn answer(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("cannot write to standard output ({error})")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(format: LogFormat, sentence: &str) -> String {
        let line = Console { format, queue: None }.line("WARN", "warning: ", sentence);
        String::from_utf8(line).expect("text")
    }

    /// L2.
    #[test]
    fn message_is_one_line_in_either_format() {
        for format in [LogFormat::Pretty, LogFormat::Json] {
            let line = line(format, "one\ntwo\x1b[2J\rthree\u{2028}four");
            assert_eq!(line.matches(['\n', '\r', '\x1b', '\u{2028}']).count(), 1, "{line:?}");
            assert!(line.ends_with('\n'));
        }
        assert_eq!(line(LogFormat::Pretty, "mind this"), "warning: mind this\n");
    }

    #[test]
    fn json_message_has_the_format_of_the_log() {
        let line = line(LogFormat::Json, "mind \"this\"");
        let line: serde_json::Value = serde_json::from_str(&line).expect("an object");
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["target"], "goat_server");
        assert_eq!(line["message"], "mind \"this\"");
        assert!(line["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')));
    }
}
