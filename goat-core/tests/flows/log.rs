//! What goat logs, line by line, for tests of one thread.
//!
//! Invariant: there is one subscriber for the whole process. Of several, `tracing` may ask a thread
//! that has none whether anybody wants a line, and remember its no for all.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::sync::Once;

use tracing::field::{Field, Visit};

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

static INSTALLED: Once = Once::new();

/// Keeps the lines that were logged on each thread.
struct Keeper;

/// The lines of this thread.
pub(crate) struct Lines;

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, " {field}={value:?}").expect("a string takes all");
    }
}

impl tracing::Subscriber for Keeper {
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
        LINES.with_borrow_mut(|lines| lines.push(line.0));
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

impl Lines {
    /// From now on, lines are kept.
    pub(crate) fn begin() -> Self {
        INSTALLED.call_once(|| {
            tracing::subscriber::set_global_default(Keeper).expect("nobody else sets one");
            tracing::callsite::rebuild_interest_cache();
        });
        LINES.take();
        Self
    }

    #[expect(clippy::unused_self, reason = "whoever takes lines has begun to keep them")]
    pub(crate) fn take_warnings(&self) -> Vec<String> {
        let mut lines = LINES.take();
        lines.retain(|line| line.starts_with("WARN"));
        lines
    }
}
