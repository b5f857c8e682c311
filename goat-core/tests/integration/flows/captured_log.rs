//! Captures goat's log lines per thread, for single-threaded tests.
//!
//! Invariant: there is one subscriber for the whole process. With several, `tracing` may ask a
//! thread without one whether a line is enabled, and cache the negative result for all.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::sync::Once;

use tracing::field::{Field, Visit};

thread_local! {
    /// `None` on threads that do not record.
    static LINES: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

static INSTALLED: Once = Once::new();

/// Subscriber that records the lines of each thread.
struct Recorder;

/// The recorded lines of this thread.
pub(crate) struct Lines;

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, " {field}={value:?}").expect("writing to a string");
    }
}

impl tracing::Subscriber for Recorder {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("goat_core")
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        LINES.with_borrow_mut(|lines| {
            if let Some(lines) = lines {
                lines.push(line.0);
            }
        });
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

impl Lines {
    /// Starts recording.
    pub(crate) fn begin() -> Self {
        INSTALLED.call_once(|| {
            tracing::subscriber::set_global_default(Recorder).expect("the only subscriber");
            tracing::callsite::rebuild_interest_cache();
        });
        LINES.set(Some(Vec::new()));
        Self
    }

    #[expect(clippy::unused_self, reason = "only a recording has lines to take")]
    pub(crate) fn take_warnings(&self) -> Vec<String> {
        let mut lines = LINES.replace(Some(Vec::new())).unwrap_or_default();
        lines.retain(|line| line.starts_with("WARN"));
        lines
    }
}
