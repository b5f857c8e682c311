//! What is written for the operator past the log: why a start is refused, and what a command
//! answers.
//!
//! Invariant: a sentence is one line, whatever is in it (L2), and a JSON object where `serve` was
//! asked for JSON. The log's filter does not apply: an operator who silenced the log still reads
//! why nothing starts.

use std::io::{self, IsTerminal as _, Write as _};

use crate::failure::Failure;
use crate::settings::LogFormat;

/// How sentences are written to standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Console {
    format: LogFormat,
}

impl Console {
    /// For people.
    pub(super) fn plain() -> Self {
        Self { format: LogFormat::Pretty }
    }

    /// As the log of `serve` is written, which goes to standard output.
    pub(super) fn of_serve(format: Option<LogFormat>) -> Self {
        let fallback = if io::stdout().is_terminal() { LogFormat::Pretty } else { LogFormat::Json };
        Self { format: format.unwrap_or(fallback) }
    }

    /// Whether people are to read it.
    pub(super) fn is_for_people(self) -> bool {
        self.format == LogFormat::Pretty
    }

    /// Says why something ends.
    pub(super) fn error(self, sentence: &str) {
        self.write("ERROR", "", sentence);
    }

    /// Says what somebody should look at.
    pub(super) fn warn(self, sentence: &str) {
        self.write("WARN", "warning: ", sentence);
    }

    fn write(self, level: &str, mark: &str, sentence: &str) {
        let line = self.line(level, mark, sentence);
        // A stream that is closed can be told nothing.
        let _ = io::stderr().lock().write_all(line.as_bytes());
    }

    fn line(self, level: &str, mark: &str, sentence: &str) -> String {
        match self.format {
            LogFormat::Pretty => {
                let sentence: String = sentence
                    .chars()
                    .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
                    .collect();
                format!("{mark}{sentence}\n")
            }
            LogFormat::Json => {
                let line = serde_json::json!({
                    "timestamp": jiff::Timestamp::now().to_string(),
                    "level": level,
                    "message": sentence,
                    "target": "goat_server",
                });
                format!("{line}\n")
            }
        }
    }
}

/// Writes an answer to standard output. Whoever closed it has read enough.
pub(super) fn answer(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("standard output cannot be written to ({error})")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// L2.
    #[test]
    fn a_sentence_is_one_line_in_either_format() {
        for format in [LogFormat::Pretty, LogFormat::Json] {
            let line = Console { format }.line("ERROR", "", "one\ntwo\x1b[2J\rthree");
            assert_eq!(line.matches(['\n', '\r', '\x1b']).count(), 1, "{line:?}");
            assert!(line.ends_with('\n'));
        }
    }

    #[test]
    fn a_line_of_json_has_a_time_a_level_and_the_sentence() {
        let line = Console { format: LogFormat::Json }.line("WARN", "warning: ", "mind \"this\"");
        let line: serde_json::Value = serde_json::from_str(&line).expect("an object");
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["message"], "mind \"this\"");
        assert!(line["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')));
    }
}
