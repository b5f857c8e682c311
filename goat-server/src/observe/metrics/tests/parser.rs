//! A strict parser of both formats.

use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    OpenMetrics,
    Prometheus,
}

#[derive(Debug, Default)]
pub(super) struct Exposition {
    /// Type by family, by the name that the `TYPE` line has.
    pub(super) types: BTreeMap<String, String>,
    /// Value by series, as written.
    pub(super) series: BTreeMap<String, f64>,
}

/// # Panics
///
/// At the first thing that the format does not allow.
pub(super) fn parse(text: &str, format: Format) -> Exposition {
    let open_metrics = format == Format::OpenMetrics;
    assert!(text.ends_with('\n'), "the last line is not ended");
    assert!(!text.contains('\r'));
    let mut lines: Vec<_> = text.strip_suffix('\n').unwrap().split('\n').collect();
    if open_metrics {
        assert_eq!(lines.pop(), Some("# EOF"), "OpenMetrics ends with EOF");
    }
    let mut found = Exposition::default();
    let (mut helps, mut units) = (BTreeSet::new(), BTreeSet::new());
    let mut family = String::new();
    for line in lines {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("HELP has a text");
            check_name(name);
            check_escapes(help, open_metrics);
            assert!(helps.insert(name.to_owned()), "HELP twice: {name}");
            assert!(!found.types.contains_key(name), "HELP precedes TYPE: {name}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("TYPE has a type");
            check_name(name);
            let kinds: &[&str] = if open_metrics {
                &["counter", "gauge", "histogram", "info", "stateset", "summary", "unknown"]
            } else {
                &["counter", "gauge", "histogram", "summary", "untyped"]
            };
            assert!(kinds.contains(&kind), "no such type: {line}");
            assert!(helps.contains(name), "TYPE follows the HELP of the same family: {line}");
            if kind == "counter" {
                assert_eq!(name.ends_with("_total"), !open_metrics, "{line}");
            }
            let before = found.types.insert(name.to_owned(), kind.to_owned());
            assert_eq!(before, None, "a family is contiguous: {line}");
            name.clone_into(&mut family);
        } else if let Some(rest) = line.strip_prefix("# UNIT ") {
            assert!(open_metrics, "{line}");
            let (name, unit) = rest.split_once(' ').expect("UNIT has a unit");
            assert_eq!(name, family);
            assert!(name.ends_with(&format!("_{unit}")), "{line}");
            assert!(units.insert(name.to_owned()), "{line}");
        } else {
            assert!(!line.starts_with('#') && !line.is_empty(), "no comments here: {line:?}");
            let (series, value) = check_sample(line);
            check_suffix(&series, &family, &found.types[&family], open_metrics);
            assert!(!value.is_nan() && value >= 0.0, "{line}");
            assert_eq!(found.series.insert(series, value), None, "a series twice: {line}");
        }
    }
    check_histograms(&found);
    found
}

fn check_name(name: &str) {
    let mut characters = name.chars();
    assert!(characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_'));
    assert!(characters.all(|one| one.is_ascii_alphanumeric() || one == '_'), "{name}");
}

fn check_escapes(text: &str, quotes: bool) {
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character == '\\' {
            let escaped = characters.next();
            assert!(
                matches!(escaped, Some('\\' | 'n')) || quotes && escaped == Some('"'),
                "{text}"
            );
        }
    }
}

/// Splits `name{label="value",…} value` and checks each part; no timestamp, no exemplar.
fn check_sample(line: &str) -> (String, f64) {
    let (name_end, mut rest) = match line.find(['{', ' ']) {
        Some(index) => (index, &line[index..]),
        None => panic!("a sample without a value: {line}"),
    };
    check_name(&line[..name_end]);
    if let Some(labels) = rest.strip_prefix('{') {
        let mut names = BTreeSet::new();
        let mut labels = labels;
        loop {
            let (name, value) = labels.split_once("=\"").expect("a label");
            check_name(name);
            assert!(names.insert(name.to_owned()), "a label twice: {line}");
            let mut end = None;
            let mut escaped = false;
            for (index, character) in value.char_indices() {
                match character {
                    _ if escaped => {
                        assert!(matches!(character, '\\' | '"' | 'n'), "{line}");
                        escaped = false;
                    }
                    '\\' => escaped = true,
                    '"' => {
                        end = Some(index);
                        break;
                    }
                    _ => {}
                }
            }
            labels = &value[end.expect("a label's end") + 1..];
            match labels.strip_prefix(',') {
                Some(more) => labels = more,
                None => break,
            }
        }
        rest = labels.strip_prefix('}').expect("the end of the labels");
    }
    let value = rest.strip_prefix(' ').expect("one space before the value");
    assert!(!value.contains(' '), "{line}");
    let series = line[..line.len() - value.len() - 1].to_owned();
    (series, value.parse().expect("a number"))
}

fn check_suffix(series: &str, family: &str, kind: &str, open_metrics: bool) {
    let name = series.split('{').next().unwrap();
    let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{series} is not {family}"));
    let allowed: &[&str] = match kind {
        "counter" if open_metrics => &["_total"],
        "info" => &["_info"],
        "histogram" => &["_bucket", "_count", "_sum"],
        _ => &[""],
    };
    assert!(allowed.contains(&suffix), "{series} in the {kind} {family}");
}

/// Buckets increase in bound and count, and the last one counts all.
fn check_histograms(found: &Exposition) {
    let mut buckets: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for (series, count) in &found.series {
        let Some((name, labels)) = series.split_once("_bucket{le=\"") else { continue };
        let (bound, labels) = labels.split_once('"').unwrap();
        let labels = labels.trim_start_matches(',').trim_end_matches('}');
        let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap() };
        let series = if labels.is_empty() {
            format!("{name}_count")
        } else {
            format!("{name}_count{{{labels}}}")
        };
        buckets.entry(series).or_default().push((bound, *count));
    }
    for (series, mut buckets) in buckets {
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{series}: {buckets:?}");
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, found.series[&series])), "{series}");
    }
}

#[test]
fn parser_rejects_malformed_expositions() {
    let good = "# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"1\"} 2\n";
    assert_eq!(parse(good, Format::Prometheus).series["a_total{x=\"1\"}"], 2.0);
    let bad = [
        "a_total 1",
        "# TYPE a_total counter\na_total 1\n",
        "# HELP a_total A.\n# TYPE a_total count\n",
        "# HELP a A.\n# TYPE a counter\na 1\n",
        "# HELP a_total A.\n# TYPE a_total counter\na_total 1\na_total 2\n",
        "# HELP a_total A.\n# TYPE a_total counter\na_total{x=1} 1\n",
        "# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"1\"}  1\n",
        "# HELP a_total A.\n# TYPE a_total counter\nb_total 1\n",
        "# HELP a_total A.\n# TYPE a_total counter\na_total 1\n# EOF\n",
        "# HELP h H.\n# TYPE h histogram\nh_sum 1\nh_count 2\nh_bucket{le=\"+Inf\"} 1\n",
    ];
    for text in bad {
        let refused = std::panic::catch_unwind(|| parse(text, Format::Prometheus)).is_err();
        assert!(refused, "{text}");
    }
    let unended = "# HELP a A.\n# TYPE a counter\na_total 1\n";
    assert!(std::panic::catch_unwind(|| parse(unended, Format::OpenMetrics)).is_err());
}
