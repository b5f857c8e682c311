//! Medians, quantiles, and how figures are written.

use std::time::Duration;

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The quantile of sorted times.
pub(crate) fn quantile(sorted: &[Duration], part: f64) -> Duration {
    sorted[((sorted.len() as f64 * part) as usize).min(sorted.len() - 1)]
}

pub(crate) fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// A number with about two significant digits after a unit's worth.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => thousands(value.round()),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A whole number with separators.
pub(crate) fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub(crate) fn milliseconds(time: Duration) -> String {
    format!("{} ms", number(time.as_secs_f64() * 1e3))
}

pub(crate) fn mebibytes(bytes: f64) -> String {
    format!("{} MiB", number(bytes / 1_048_576.0))
}
