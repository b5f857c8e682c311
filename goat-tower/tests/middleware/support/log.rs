//! What the layers write into the log, for tests that read it.
//!
//! One subscriber for the whole process, which writes for the thread that it is called on. With one for
//! each test, whether a line is wanted would be remembered of a thread that has none.

use std::cell::RefCell;
use std::fmt::{Debug, Write as _};
use std::sync::Once;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

thread_local! {
    /// Each line with its level; none where nobody reads.
    static LINES: RefCell<Option<Vec<(Level, String)>>> = const { RefCell::new(None) };
}

/// What goat-tower logs on this thread, until it is dropped: the message, and then the fields.
pub(crate) struct Log(());

impl Log {
    /// Reads along from here on.
    pub(crate) fn read() -> Self {
        static SUBSCRIBED: Once = Once::new();
        SUBSCRIBED.call_once(|| tracing::subscriber::set_global_default(Lines).unwrap());
        // Somebody may have asked whether a line is wanted just before there was anybody to want it.
        tracing::callsite::rebuild_interest_cache();
        LINES.set(Some(Vec::new()));
        Self(())
    }

    /// What was logged since it was last asked.
    pub(crate) fn take(&self) -> Vec<(Level, String)> {
        LINES.replace(Some(Vec::new())).unwrap_or_default()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        LINES.set(None);
    }
}

/// What goat-tower logs while something is done.
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
