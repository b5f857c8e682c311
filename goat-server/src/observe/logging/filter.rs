//! The log filter: the operator's directives, minus anything that could log a secret, plus the
//! request span.

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, FilterFn, ParseError};
use tracing_subscriber::layer::Filter;
use tracing_subscriber::registry::LookupSpan;

use super::request::{READ_SPAN, SPAN, TARGET};

/// The crates with log lines that hold no secrets at any level.
const OWN: [&str; 3] = ["goat_core", "goat_tower", "goat_server"];

/// Returns the filter for directives such as `info,goat_core=debug`.
pub(super) fn filter<S>(directives: &str) -> Result<impl Filter<S> + use<S>, ParseError>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let asked = EnvFilter::try_new(directives)?;
    let harmless = FilterFn::new(is_harmless).with_max_level_hint(LevelFilter::TRACE);
    // Without the span, lines of detached tasks under a quiet filter would lack the request id.
    let request = FilterFn::new(is_request_span).with_max_level_hint(LevelFilter::ERROR);
    let needed = FilterFn::new(|metadata| !is_span(metadata, READ_SPAN))
        .with_max_level_hint(LevelFilter::TRACE);
    Ok(asked.and(harmless).and(needed).or(request))
}

fn is_harmless(metadata: &Metadata<'_>) -> bool {
    let root = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() <= Level::INFO || OWN.contains(&root)
}

fn is_request_span(metadata: &Metadata<'_>) -> bool {
    is_span(metadata, SPAN)
}

fn is_span(metadata: &Metadata<'_>, name: &str) -> bool {
    metadata.is_span() && metadata.name() == name && metadata.target() == TARGET
}
