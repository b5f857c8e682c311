//! Captures goat-tower's log lines in tests.
//!
//! One global subscriber records lines per thread. With one subscriber per test, the cached
//! interest of a callsite could come from a thread without a subscriber.

use std::cell::RefCell;
use std::fmt::{Debug, Write as _};
use std::sync::Once;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

thread_local! {
    /// The captured lines with their levels; `None` while the thread does not capture.
    static LINES: RefCell<Option<Vec<(Level, String)>>> = const { RefCell::new(None) };
}

/// Captures goat-tower's log lines on this thread until it is dropped: the message, then the
/// fields.
pub(crate) struct Log(());

impl Log {
    /// Starts capturing.
    pub(crate) fn read() -> Self {
        static SUBSCRIBED: Once = Once::new();
        SUBSCRIBED.call_once(|| tracing::subscriber::set_global_default(Lines).unwrap());
        // Another thread may have cached the callsite's interest before the subscriber was set.
        tracing::callsite::rebuild_interest_cache();
        LINES.set(Some(Vec::new()));
        Self(())
    }

    /// Returns the lines captured since the last call.
    pub(crate) fn take(&self) -> Vec<(Level, String)> {
        LINES.replace(Some(Vec::new())).unwrap_or_default()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        LINES.set(None);
    }
}

/// Returns the lines logged by a closure.
pub(crate) fn logged(work: impl FnOnce()) -> Vec<(Level, String)> {
    let log = Log::read();
    work();
    log.take()
}

struct Lines;

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("goat_tower")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        struct Line(String);
        impl Visit for Line {
            fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
                let _ = match field.name() {
                    "message" => write!(self.0, "{value:?}"),
                    name => write!(self.0, " {name}={value:?}"),
                };
            }
        }
        let mut line = Line(String::new());
        event.record(&mut line);
        LINES.with_borrow_mut(|lines| {
            if let Some(lines) = lines {
                lines.push((*event.metadata().level(), line.0));
            }
        });
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
