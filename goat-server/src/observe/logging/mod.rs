//! Logging: one line an event to standard output, for people or as JSON.
//!
//! - **One line each.** Whatever a value holds (line breaks, escape sequences, characters that turn
//!   the direction of writing), it cannot end its line, begin another, or steer a terminal (L2). In
//!   `json` every line is one object with `timestamp`, `level`, `target`, `message`, and the fields
//!   of the event and of the spans around it, as members of the same object. No member comes twice.
//! - **One id a request.** The [request's layer](RequestLogLayer) opens a span that carries
//!   `request_id`, and `user` once it is known, so that both are on every line that is written
//!   while the request is served. The filter cannot switch that span off.
//! - **Nothing secret, at any level** (L1). goat's own code is written for that. Others' code is
//!   not: what a library of HTTP, TLS or SQL prints at `debug` and `trace` (headers, parameters) is
//!   its own affair, and may change with any update. So what is not goat's own goes no lower than
//!   `info`, whatever `GOAT_LOG` says.
//! - **Panics are lines too**: the place in the code, never the message; see [`log_panics`]. What no
//!   hook sees (a stack overflow, the kernel's kill) is the only thing that can write otherwise.
//!
//! A line that cannot be written is lost: a full disk must not stop a server.

mod context;
mod fields;
mod filter;
mod lines;
mod panics;
mod request;
#[cfg(test)]
mod tests;
mod text;

use std::error::Error as StdError;
use std::io::{self, IsTerminal as _};

use tracing::Subscriber;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::start::settings::{LogFormat, LogSettings};

pub use self::context::{RecordContextLayer, RecordContextService, RequestContext};
use self::lines::{Lines, Look};
pub use self::panics::log_panics;
pub use self::request::{LoggedBody, RequestLog, RequestLogFuture, RequestLogLayer};
pub(crate) use self::text::{SafeJson, push_escaped};

/// Begins to log, for the whole process, and makes a panic a line of the log.
///
/// # Errors
///
/// If the filter cannot be read, which [`Settings`](crate::start::settings::Settings) has checked, or if
/// the process logs already.
pub fn init(settings: &LogSettings) -> Result<(), Box<dyn StdError + Send + Sync>> {
    let terminal = io::stdout().is_terminal();
    let look = match settings.format {
        Some(LogFormat::Json) => Look::Json,
        None if !terminal => Look::Json,
        // By convention, any value of this variable but none asks for plain text.
        _ => Look::Pretty {
            colours: terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        },
    };
    subscriber(&settings.filter, look, io::stdout)?.try_init()?;
    log_panics();
    Ok(())
}

/// What logs: to `writer`, what `directives` let through.
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
