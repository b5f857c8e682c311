//! The layer that formats and writes log lines: one event, one line, one write.
//!
//! Lines of requests in JSON are most of a log and take a shorter way; see [`request_line`].

use std::cell::Cell;
use std::io::Write as _;

use serde::Serializer as _;
use serde::ser::SerializeMap as _;
use serde_json::Value;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::context::RequestContext;
use super::fields::Fields;
use super::request_line::{self, push_timestamp};
use super::text::{SafeJson, push_escaped, push_value};

/// The format of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// A JSON object.
    Json,
    /// Human-readable text.
    Pretty {
        /// Whether to write colour codes.
        colours: bool,
    },
}

impl Look {
    /// Formats a line, with its line break.
    pub(super) fn line(
        self,
        level: Level,
        target: &str,
        message: &str,
        fields: &Fields,
    ) -> Vec<u8> {
        let mut now = String::with_capacity(24);
        push_timestamp(&mut now, jiff::Timestamp::now());
        match self {
            Self::Json => json(&now, level, target, message, fields),
            Self::Pretty { colours } => {
                pretty(&now, level, target, message, fields, colours).into_bytes()
            }
        }
    }
}

/// The members of every line.
const RESERVED: [&str; 3] = ["timestamp", "level", "target"];

#[derive(Debug)]
pub(super) struct Lines<W> {
    look: Look,
    writer: W,
}

impl<W> Lines<W> {
    pub(super) fn new(look: Look, writer: W) -> Self {
        Self { look, writer }
    }
}

impl<S, W> Layer<S> for Lines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        // Formatted before the span is locked: a value may log while it is formatted.
        let mut fields = Fields::default();
        values.record(&mut fields);
        if let Some(span) = context.span(id)
            && let Some(known) = span.extensions_mut().get_mut::<Fields>()
        {
            known.extend(&fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        if self.look == Look::Json && metadata.target() == super::request::TARGET {
            // Taken, since a value may log while it is formatted.
            let mut line = LINE.try_with(Cell::take).unwrap_or_default();
            line.clear();
            request_line::format(&mut line, event);
            let _ = self.writer.make_writer_for(metadata).write_all(line.as_bytes());
            let _ = LINE.try_with(|kept| kept.set(line));
            return;
        }
        let mut own = Fields::default();
        event.record(&mut own);
        let message = own.remove("message").unwrap_or_default();
        // From the outermost span inwards, the event last: inner fields take precedence.
        let mut fields = Fields::default();
        if let Some(request) = RequestContext::current() {
            request.add_fields(&mut fields);
        }
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(known) = span.extensions().get::<Fields>() {
                fields.extend(known);
            }
        }
        fields.remove("message");
        fields.extend(&own);
        let message = message.as_str().unwrap_or_default();
        let line = self.look.line(*metadata.level(), metadata.target(), message, &fields);
        // A line that cannot be written is lost; there is no place to report it.
        let _ = self.writer.make_writer_for(metadata).write_all(&line);
    }
}

thread_local! {
    /// The memory of the thread's last line of a request.
    static LINE: Cell<String> = const { Cell::new(String::new()) };
}

fn json(now: &str, level: Level, target: &str, message: &str, fields: &Fields) -> Vec<u8> {
    let mut line = Vec::with_capacity(512);
    let mut serializer = serde_json::Serializer::with_formatter(&mut line, SafeJson);
    let written = serializer.serialize_map(None).and_then(|mut map| {
        map.serialize_entry("timestamp", now)?;
        map.serialize_entry("level", level.as_str())?;
        map.serialize_entry("target", target)?;
        map.serialize_entry("message", message)?;
        for (name, value) in fields.iter() {
            if RESERVED.contains(&name) {
                map.serialize_entry(&format!("field.{name}"), value)?;
            } else {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()
    });
    // Writing strings and numbers to memory does not fail; half a line would not be an object.
    if written.is_err() {
        line.clear();
        line.extend_from_slice(b"{}");
    }
    line.push(b'\n');
    line
}

fn pretty(
    now: &str,
    level: Level,
    target: &str,
    message: &str,
    fields: &Fields,
    colours: bool,
) -> String {
    let mut line = String::with_capacity(256);
    let paint = |line: &mut String, colour: &str, text: &str| {
        if colours {
            line.extend(["\x1b[", colour, "m", text, "\x1b[0m"]);
        } else {
            line.push_str(text);
        }
    };
    let (colour, level) = match level {
        Level::ERROR => ("31", "ERROR"),
        Level::WARN => ("33", " WARN"),
        Level::INFO => ("32", " INFO"),
        Level::DEBUG => ("34", "DEBUG"),
        Level::TRACE => ("35", "TRACE"),
    };
    paint(&mut line, "2", now);
    line.push(' ');
    paint(&mut line, colour, level);
    line.push(' ');
    paint(&mut line, "2", target);
    line.push_str(": ");
    push_escaped(&mut line, message);
    for (name, value) in fields.iter() {
        line.push(' ');
        paint(&mut line, "2", name);
        line.push('=');
        match value {
            Value::String(text) => push_value(&mut line, text),
            other => line.push_str(&other.to_string()),
        }
    }
    line.push('\n');
    line
}
