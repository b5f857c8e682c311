//! Logging: one line per event on standard output, human-readable or as JSON.
//!
//! - **One line per event.** No value (line breaks, escape sequences, characters that change the
//!   writing direction) can end its line, start another, or control a terminal (L2). Under `json`
//!   every line is one object with `timestamp`, `level`, `target`, `message`, and the fields of the
//!   event and its spans as members of the same object. No member appears twice.
//! - **One id per request.** The [request log layer](RequestLogLayer) makes `request_id`, and `user`
//!   once it is known, fields of every line that is written while the request is served; a span that
//!   the filter cannot disable carries them into tasks that a change starts.
//! - **No secrets, at any level** (L1). goat's own code is written accordingly. Dependencies are
//!   not: a library for HTTP, TLS or SQL may print headers or parameters at `debug` and `trace`,
//!   and may change this in any release. Their lines are therefore limited to `info` and above,
//!   regardless of `GOAT_LOG`.
//! - **Panics are lines too**: the place in the code, never the message; see [`log_panics`]. Only
//!   events that no hook sees (a stack overflow, a kill by the kernel) bypass the log.
//!
//! - **Writing a line never blocks a request** (W7): lines go through a [`LineQueue`] to a thread that
//!   writes them. Lines that find no place, and lines that cannot be written, are dropped and counted.

mod context;
mod fields;
mod filter;
mod lines;
mod panics;
mod queue;
mod request;
mod request_line;
mod sampler;
#[cfg(test)]
pub(crate) mod tests;
mod text;

use std::error::Error as StdError;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use serde_json::Value;
use tracing::{Level, Subscriber};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::start::settings::{LogFormat, LogSettings};

pub use self::context::{RecordContextLayer, RecordContextService, RequestContext};
use self::fields::Fields;
use self::lines::{Lines, Look};
pub use self::panics::log_panics;
use self::queue::LineCounts;
pub use self::queue::{LineKind, LineQueue, QueueWriter};
pub use self::request::{LoggedBody, RequestLog, RequestLogFuture, RequestLogLayer};
pub(crate) use self::text::{SafeJson, push_escaped};

/// Initializes logging for the whole process, and logs panics. Returns the queue of the lines, which
/// must be [flushed](LineQueue::flush) before the process exits.
///
/// # Errors
///
/// If the filter is malformed, which [`Settings`](crate::start::settings::Settings) has checked, if
/// the process already has a logger, or if the writer thread cannot be started.
pub fn init(settings: &LogSettings) -> Result<LineQueue, Box<dyn StdError + Send + Sync>> {
    init_on(&io::stdout(), settings)
}

/// Initializes logging for a command: on standard error, since standard output has its answer.
///
/// # Errors
///
/// As [`init`].
pub(crate) fn init_for_command(
    settings: &LogSettings,
) -> Result<LineQueue, Box<dyn StdError + Send + Sync>> {
    init_on(&io::stderr(), settings)
}

fn init_on(
    stream: &(impl AsFd + IsTerminal),
    settings: &LogSettings,
) -> Result<LineQueue, Box<dyn StdError + Send + Sync>> {
    let terminal = stream.is_terminal();
    let look = match settings.format {
        Some(LogFormat::Json) => Look::Json,
        None if !terminal => Look::Json,
        // By convention (no-color.org), any non-empty value asks for plain text.
        _ => Look::Pretty {
            colours: terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        },
    };
    let queue = queue_of(stream, look)?;
    subscriber(&settings.filter, look, queue.clone())?.try_init()?;
    log_panics();
    Ok(queue)
}

/// Starts a queue for standard error, in the format of the log.
pub(crate) fn stderr_queue(format: LogFormat) -> io::Result<LineQueue> {
    let look = match format {
        LogFormat::Json => Look::Json,
        LogFormat::Pretty => Look::Pretty { colours: false },
    };
    queue_of(&io::stderr(), look)
}

/// Starts a queue for a stream. It writes to a descriptor of its own, without the buffer and the lock
/// of the standard library, which a blocked write would hold.
fn queue_of(stream: &impl AsFd, look: Look) -> io::Result<LineQueue> {
    let stream = File::from(stream.as_fd().try_clone_to_owned()?);
    LineQueue::start(stream, move |dropped| report(look, dropped))
}

/// Formats the line about dropped lines.
fn report(look: Look, dropped: LineCounts) -> Vec<u8> {
    let mut fields = Fields::default();
    for kind in LineKind::ALL {
        fields.set(kind.name(), Value::from(dropped.of(kind)));
    }
    look.line(Level::WARN, module_path!(), "log lines dropped: the output was blocked", &fields)
}

/// Returns the subscriber that writes the events selected by `directives` to `writer`.
fn subscriber<W>(
    directives: &str,
    look: Look,
    writer: W,
) -> Result<impl Subscriber + Send + Sync, Box<dyn StdError + Send + Sync>>
where
    W: for<'w> tracing_subscriber::fmt::MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = filter::filter(directives)?;
    Ok(Registry::default().with(Lines::new(look, writer).with_filter(filter)))
}
