//! Log filter: validation of `GOAT_LOG`.
//!
//! The filter's own parser takes a word that it does not know for the name of a module. `warning` would
//! thus select the lines of a module that does not exist, and silence all others.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

use super::problem::quote;
use super::sources::distance;
use super::values::Parsed;

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// The crates of the server that log.
const CRATES: [&str; 20] = [
    "goat_core",
    "goat_server",
    "goat_tower",
    "axum",
    "h2",
    "hyper",
    "hyper_util",
    "mio",
    "redis",
    "rustls",
    "rustls_platform_verifier",
    "sqlx",
    "sqlx_core",
    "sqlx_postgres",
    "sqlx_sqlite",
    "tokio",
    "tokio_util",
    "tower",
    "tower_http",
    "tracing",
];

/// Parses a filter: levels, and levels of crates, modules and spans.
pub(super) fn filter(text: &str) -> Parsed<String> {
    let directives = split(text).into_iter().map(str::trim).filter(|text| !text.is_empty());
    let directives: Vec<&str> = directives.collect();
    if directives.is_empty() {
        return Err("is not a log filter".into());
    }
    for directive in &directives {
        check(directive)?;
    }
    let filter = directives.join(",");
    EnvFilter::try_new(&filter).map_err(|_| "is not a log filter")?;
    Ok(filter)
}

/// Splits at the commas outside of brackets, which enclose the fields of a span.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    text.split(|c| {
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
    .collect()
}

fn check(directive: &str) -> Parsed<()> {
    // A `=` inside of brackets belongs to a field.
    let fields_end = directive.rfind([']', '}']).unwrap_or(0);
    let (target, level) = match directive.rfind('=') {
        Some(at) if at >= fields_end => (&directive[..at], Some(&directive[at + 1..])),
        _ => (directive, None),
    };
    if let Some(level) = level
        && (level.is_empty() || level.parse::<LevelFilter>().is_err())
    {
        let nearest = nearest(level, &LEVELS);
        let level = quote(level);
        return Err(
            format!("contains {level}, which is not a level; did you mean {nearest}?").into()
        );
    }
    let is_level = level.is_none() && target.parse::<LevelFilter>().is_ok();
    let module = target.split('[').next().unwrap_or_default();
    let root = module.split("::").next().unwrap_or_default();
    let is_span = module.is_empty() && target.starts_with('[');
    if is_level || is_span || CRATES.contains(&root) {
        return Ok(());
    }
    let known: Vec<&str> = match level {
        None => LEVELS.iter().chain(&CRATES).copied().collect(),
        Some(_) => CRATES.to_vec(),
    };
    Err(format!(
        "contains {}, which is neither a level nor a crate of the server; did you mean {}?",
        quote(root),
        nearest(root, &known)
    )
    .into())
}

/// Returns the word that was probably meant: one that the text begins with, or the most similar one.
fn nearest<'w>(text: &str, words: &[&'w str]) -> &'w str {
    let text = text.to_ascii_lowercase().replace('-', "_");
    let mut found = words.iter().filter(|word| text.starts_with(**word));
    let begins = found.next().copied();
    begins
        .or_else(|| words.iter().copied().min_by_key(|word| distance(&text, word)))
        .unwrap_or("info")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_crates_of_the_server_are_accepted() {
        for (text, expected) in [
            ("info", "info"),
            ("WARN", "WARN"),
            ("off", "off"),
            ("info,", "info"),
            ("info,goat_core=debug", "info,goat_core=debug"),
            ("info, goat_core::store=debug", "info,goat_core::store=debug"),
            ("goat_server::audit", "goat_server::audit"),
            ("warn,sqlx=off", "warn,sqlx=off"),
            ("[request]=debug", "[request]=debug"),
            ("info,goat_core[request{id=1}]=trace", "info,goat_core[request{id=1}]=trace"),
        ] {
            assert_eq!(filter(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn unknown_word_is_refused_with_the_nearest() {
        for (text, wrong, nearest) in [
            ("warning", "\"warning\"", "warn"),
            ("information", "\"information\"", "info"),
            ("inof", "\"inof\"", "info"),
            ("Errors", "\"Errors\"", "error"),
            ("info,goat-core=debug", "\"goat-core\"", "goat_core"),
            ("info,goat_cor::store=debug", "\"goat_cor\"", "goat_core"),
            ("goat_core=warning", "\"warning\"", "warn"),
            ("goat_core=", "\"\"", "off"),
        ] {
            let complaint = filter(text).expect_err(text);
            assert!(complaint.starts_with(&format!("contains {wrong}, which is ")), "{complaint}");
            assert!(
                complaint.ends_with(&format!("did you mean {nearest}?")),
                "{text}: {complaint}"
            );
        }
    }
}
