//! The line of a request in JSON, written field by field into one buffer.
//!
//! The event has each field once and is the only source of them, so nothing is collected first: no map,
//! no value, and no text in between. The members and their order are those of any other line.

use std::cell::Cell;
use std::fmt::{self, Write as _};

use tracing::Event;
use tracing::field::{Field, Visit};

use super::text::push_json;

/// Appends the line of an event, with its line break.
pub(super) fn format(line: &mut String, event: &Event<'_>) {
    let metadata = event.metadata();
    line.push_str(r#"{"timestamp":""#);
    push_timestamp(line, jiff::Timestamp::now());
    line.push_str(r#"","level":""#);
    line.push_str(metadata.level().as_str());
    line.push_str(r#"","target":""#);
    line.push_str(metadata.target());
    line.push('"');
    // The message comes first: tracing makes it the first field of an event.
    event.record(&mut Members { line });
    line.push_str("}\n");
}

/// Appends fields as members.
struct Members<'a> {
    line: &'a mut String,
}

impl Members<'_> {
    /// Appends a field's name.
    fn begin(&mut self, field: &Field) -> &mut String {
        self.line.extend([",\"", field.name(), "\":"]);
        self.line
    }

    fn display(&mut self, field: &Field, value: impl fmt::Display) {
        // Writing to a `String` does not fail.
        let _ = write!(self.begin(field), "{value}");
    }
}

impl Visit for Members<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let line = self.begin(field);
        line.push('"');
        let _ = write!(Escaped(line), "{value:?}");
        line.push('"');
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let line = self.begin(field);
        line.push('"');
        push_json(line, value);
        line.push('"');
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.display(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.display(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.display(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // With the fraction that JSON numbers of other lines have, also if it is zero.
        let line = self.begin(field);
        let _ = if value.is_finite() { write!(line, "{value:?}") } else { write!(line, "null") };
    }
}

/// Escapes the text that is written to it.
struct Escaped<'a>(&'a mut String);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        push_json(self.0, text);
        Ok(())
    }
}

/// Appends a time as RFC 3339 in UTC with milliseconds.
pub(super) fn push_timestamp(line: &mut String, now: jiff::Timestamp) {
    thread_local! {
        /// The last second that this thread wrote, and its text without the fraction.
        static SECOND: Cell<(i64, [u8; DATE_TIME])> = const { Cell::new((i64::MIN, [0; DATE_TIME])) };
    }
    const DATE_TIME: usize = "2026-01-01T00:00:00".len();

    let (second, millisecond) = (now.as_second(), now.subsec_millisecond());
    let known = SECOND.try_with(Cell::get).ok().filter(|(known, _)| *known == second);
    match known.as_ref().and_then(|(_, text)| std::str::from_utf8(text).ok()) {
        Some(text) if millisecond >= 0 => {
            line.push_str(text);
            line.push('.');
            for digit in [millisecond / 100, millisecond / 10 % 10, millisecond % 10] {
                // One decimal digit.
                line.push(char::from(b'0' + digit as u8));
            }
            line.push('Z');
        }
        _ => {
            let start = line.len();
            let _ = write!(line, "{now:.3}");
            let text = line.as_bytes().get(start..start + DATE_TIME);
            if let Some(text) = text.and_then(|text| text.try_into().ok()) {
                let _ = SECOND.try_with(|kept| kept.set((second, text)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamp_is_that_of_jiff() {
        // Before and after a full second, and years of more or fewer digits.
        for millisecond in [0, 1, 999, 1000, 1001, 1_799_999_999_999, -1, -999, 253_000_000_000_123]
        {
            let time = jiff::Timestamp::from_millisecond(millisecond).expect("a time");
            for _ in 0..2 {
                let mut text = String::new();
                push_timestamp(&mut text, time);
                assert_eq!(text, format!("{time:.3}"));
            }
        }
    }
}
