//! Violations found so far, and the names that the route knows.
//!
//! Invariant: a [`Refused`] exists only after a violation was recorded, so its holder need not
//! report one again.

use std::borrow::Cow;
use std::ops::Deref;

use goat_core::Violation;

/// Proof that a violation was recorded, in place of the rejected value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(());

/// The violations of a request: the first ones, and how many more there are (W1).
///
/// Dereferences to the first ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations {
    kept: Vec<Violation>,
    omitted: usize,
}

/// Maximum number of violations that are kept.
const MOST_KEPT: usize = 20;

impl Violations {
    /// Returns how many violations are not kept.
    #[must_use]
    pub const fn omitted(&self) -> usize {
        self.omitted
    }

    /// Adds a violation. Its message is built only if it is kept.
    pub(super) fn add(&mut self, violation: impl FnOnce() -> Violation) {
        if self.kept.len() < MOST_KEPT {
            self.kept.push(violation());
        } else {
            self.omitted += 1;
        }
    }
}

impl Deref for Violations {
    type Target = [Violation];

    fn deref(&self) -> &[Violation] {
        &self.kept
    }
}

impl From<Violation> for Violations {
    fn from(violation: Violation) -> Self {
        Self { kept: vec![violation], omitted: 0 }
    }
}

/// Collects violations and the requested names.
#[derive(Debug, Default)]
pub(super) struct Findings {
    known: Vec<&'static str>,
    violations: Violations,
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
        self.violations.add(|| Violation::new(field, message));
        Refused(())
    }

    /// Adds a violation for each unknown name, and returns the value only if there is none.
    pub(super) fn finish<T>(
        mut self,
        parsed: Result<T, Refused>,
        unknown: impl Iterator<Item = String>,
    ) -> Result<T, Violations> {
        let mut expected = None;
        for name in unknown {
            let expected = expected.get_or_insert_with(|| match self.known.as_slice() {
                [] => "remove it".to_owned(),
                [only] => format!("expected {only}"),
                several => format!("expected one of {}", several.join(", ")),
            });
            self.violations.add(|| Violation::new(shown(&name), format!("is unknown; {expected}")));
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
pub(crate) fn shown(name: &str) -> String {
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
            Err(Violation::new("email", "is required").into()),
        );
    }

    /// W1
    #[test]
    fn twenty_violations_are_kept_and_the_others_counted() {
        for (count, kept, omitted) in [(0, 0, 0), (20, 20, 0), (21, 20, 1), (10_000, 20, 9_980)] {
            let names = (0..count).map(|index| format!("f{index}"));
            let found = Findings::default().finish(Ok(()), names).err().unwrap_or_default();
            assert_eq!((found.len(), found.omitted()), (kept, omitted));
        }
    }
}
