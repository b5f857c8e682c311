//! Languages that a client prefers, for texts that goat's users read.

use std::fmt;

/// The most languages that are kept of a request.
const MOST: usize = 8;

/// The longest language tag that is kept, in bytes; longer ones have private parts.
const LONGEST: usize = 35;

/// The languages that a client prefers, best first: the tags of `Accept-Language` (RFC 9110 §12.5.4) in lower
/// case, at most eight.
///
/// ```
/// use goat_core::Languages;
///
/// let languages = Languages::parse("de-AT, fr;q=0.3, en;q=0.7");
/// assert_eq!(languages.pick(["en", "de"]), Some("de"));
/// assert_eq!(languages.pick(["fr", "en"]), Some("en"));
/// assert_eq!(languages.pick(["it"]), None);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Languages(Box<[Box<str>]>);

impl fmt::Debug for Languages {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(&self.0).finish()
    }
}

impl Languages {
    /// Parses the value of `Accept-Language`. Parts that are no language tag are left out, and so are those
    /// with the quality zero.
    #[must_use]
    pub fn parse(accept_language: &str) -> Self {
        let parts = accept_language.split(',').take(4 * MOST);
        let mut preferred: Vec<_> = parts.filter_map(preference).collect();
        // Stable: the order of the header decides between equal qualities.
        preferred.sort_by_key(|(thousandths, _)| std::cmp::Reverse(*thousandths));
        preferred.truncate(MOST);
        Self(preferred.into_iter().map(|(_, tag)| tag).collect())
    }

    /// Returns the best of the languages that are available: the first preference that is there itself or
    /// by its primary language.
    pub fn pick<'a>(&self, available: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
        let available: Vec<_> = available.into_iter().collect();
        let find = |tag: &str| {
            available.iter().copied().find(|language| language.eq_ignore_ascii_case(tag))
        };
        self.0.iter().find_map(|tag| find(tag).or_else(|| find(tag.split('-').next()?)))
    }

    /// Whether the client prefers none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Parses one preference: the tag, and its quality in thousandths.
fn preference(part: &str) -> Option<(u16, Box<str>)> {
    let mut parameters = part.split(';').map(str::trim);
    let tag = parameters.next().filter(|tag| is_tag(tag))?;
    let quality = parameters.find_map(|parameter| parameter.strip_prefix("q="));
    let thousandths = quality.map_or(Some(1000), thousandths)?;
    (thousandths > 0).then(|| (thousandths, tag.to_ascii_lowercase().into()))
}

/// Parses a quality: zero to one, with at most three decimals.
fn thousandths(quality: &str) -> Option<u16> {
    let (whole, decimals) = quality.split_once('.').unwrap_or((quality, ""));
    let is_number = decimals.len() <= 3 && decimals.bytes().all(|byte| byte.is_ascii_digit());
    match whole {
        "0" if is_number => format!("{decimals:0<3}").parse().ok(),
        "1" if is_number && decimals.bytes().all(|byte| byte == b'0') => Some(1000),
        _ => None,
    }
}

/// Whether a text has the form of a language tag: subtags of one to eight letters and digits, the first of
/// letters alone (RFC 5646 §2.1).
fn is_tag(text: &str) -> bool {
    let mut subtags = text.split('-');
    let is_primary =
        |part: &str| part.len() >= 2 && part.bytes().all(|byte| byte.is_ascii_alphabetic());
    let is_subtag = |part: &str| {
        (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    text.len() <= LONGEST
        && subtags.next().is_some_and(|part| is_primary(part) && part.len() <= 8)
        && subtags.all(is_subtag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn best_available_language_is_picked() {
        for (header, expected) in [
            ("", None),
            ("de", Some("de")),
            ("DE-at", Some("de")),
            ("pt-BR", Some("pt-BR")),
            ("pt", None),
            ("en;q=0.5, de;q=0.6", Some("de")),
            ("en;q=0.5, de;q=0.50", Some("en")),
            ("de;q=0, en", Some("en")),
            ("de;q=1.5, en;q=0.1", Some("en")),
            ("de;q=0.1234, en;q=0.1", Some("en")),
            ("fr, *;q=0.1", None),
            ("\u{fc}, <b>, d, de-, toolonglanguage, en", Some("en")),
        ] {
            let languages = Languages::parse(header);
            assert_eq!(languages.pick(["en", "de", "pt-BR"]), expected, "{header}");
        }
    }

    #[test]
    fn languages_of_a_request_are_bounded() {
        let many = ["en"; 10_000].join(",");
        assert_eq!(Languages::parse(&many).0.len(), MOST);
        assert!(Languages::parse(&format!("en-{}", "x-".repeat(10_000))).is_empty());
        assert!(Languages::parse("e1").is_empty());
    }
}
