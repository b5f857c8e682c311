//! Violations found so far, and the names that the route knows.
//!
//! Invariant: a [`Refused`] exists only after a violation was recorded, so its holder need not
//! report one again.

use std::borrow::Cow;

use goat_core::Violation;

/// Proof that a violation was recorded, in place of the rejected value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(());

/// Collects violations and the requested names.
#[derive(Debug, Default)]
pub(super) struct Findings {
    known: Vec<&'static str>,
    violations: Vec<Violation>,
}

impl Findings {
    /// Records that the route knows a name.
    pub(super) fn ask(&mut self, name: &'static str) {
        if !self.known.contains(&name) {
            self.known.push(name);
        }
    }

    /// Records a violation.
    pub(super) fn refuse(
        &mut self,
        field: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Refused {
        self.violations.push(Violation::new(field, message));
        Refused(())
    }

    /// Adds a violation for each unknown name, and returns the value only if there is none.
    pub(super) fn finish<T>(
        mut self,
        parsed: Result<T, Refused>,
        unknown: impl Iterator<Item = String>,
    ) -> Result<T, Vec<Violation>> {
        let known = match self.known.as_slice() {
            [] => "remove it".to_owned(),
            [only] => format!("expected {only}"),
            several => format!("expected one of {}", several.join(", ")),
        };
        for name in unknown {
            self.refuse(shown(&name), format!("is unknown; {known}"));
        }
        match parsed {
            Ok(value) if self.violations.is_empty() => Ok(value),
            _ => Err(self.violations),
        }
    }
}

/// Maximum number of characters of an echoed name.
const SHOWN: usize = 64;

/// Sanitizes a client's name for a message: letters, digits and ASCII punctuation are kept, any
/// other character (spaces, control characters, bidirectional marks) becomes U+FFFD, so that it
/// cannot forge output in a log or terminal; at most 64 characters.
pub(super) fn shown(name: &str) -> String {
    let mut characters = name.chars();
    let mut text: String = characters
        .by_ref()
        .take(SHOWN)
        .map(|c| if c.is_alphanumeric() || c.is_ascii_graphic() { c } else { '\u{fffd}' })
        .collect();
    if characters.next().is_some() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names are echoed to clients and logs: A4.
    #[test]
    fn echoed_name_is_short_and_printable() {
        assert_eq!(shown("Role"), "Role");
        assert_eq!(shown("größe"), "größe");
        assert_eq!(shown("a\r\nb c\u{202e}\u{7f}\u{2028}"), "a��b�c���");
        assert_eq!(shown(&"x".repeat(64)), "x".repeat(64));
        assert_eq!(shown(&"ü".repeat(65)), format!("{}…", "ü".repeat(64)));
    }

    #[test]
    fn value_is_returned_only_without_violations() {
        let clean = Findings::default();
        assert_eq!(clean.finish(Ok(1), std::iter::empty()), Ok(1));

        let mut found = Findings::default();
        let _ = found.refuse("email", "is required");
        assert_eq!(
            found.finish(Ok(1), std::iter::empty()),
            Err(vec![Violation::new("email", "is required")]),
        );
    }
}
