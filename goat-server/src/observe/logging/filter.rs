//! The log filter: the operator's directives, minus anything that could log a secret, plus the
//! request span.

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, FilterFn, ParseError};
use tracing_subscriber::layer::Filter;
use tracing_subscriber::registry::LookupSpan;

use super::request::SPAN;

/// The crates with log lines that hold no secrets at any level.
const OWN: [&str; 3] = ["goat_core", "goat_tower", "goat_server"];

/// Returns the filter for directives such as `info,goat_core=debug`.
pub(super) fn filter<S>(directives: &str) -> Result<impl Filter<S> + use<S>, ParseError>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let asked = EnvFilter::try_new(directives)?;
    let harmless = FilterFn::new(is_harmless).with_max_level_hint(LevelFilter::TRACE);
    // Without the span, lines under a quiet filter would lack the request id.
    let request = FilterFn::new(is_request_span).with_max_level_hint(LevelFilter::ERROR);
    Ok(asked.and(harmless).or(request))
}

fn is_harmless(metadata: &Metadata<'_>) -> bool {
    let root = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() <= Level::INFO || OWN.contains(&root)
}

fn is_request_span(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.name() == SPAN && metadata.target() == super::request::TARGET
}
