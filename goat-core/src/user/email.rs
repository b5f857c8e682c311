//! E-mail addresses: parsed once, kept as given, compared in one canonical spelling.
//!
//! Invariant: the canonical spelling is computed here and never by a database, so that every store
//! agrees on which two addresses are the same.

use std::fmt;

use idna::AsciiDenyList;

use crate::error::{Error, Violation};

/// The longest address that a mail system carries, in octets (RFC 5321 §4.5.3.1.3).
const MAXIMUM_OCTETS: usize = 254;
/// The longest part before the `@`, in octets (RFC 5321 §4.5.3.1.1).
const MAXIMUM_LOCAL_OCTETS: usize = 64;
/// The longest label of a domain, in octets (RFC 1035 §2.3.4).
const MAXIMUM_LABEL_OCTETS: usize = 63;

/// A text that is not an e-mail address; `Display` says what an address must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidEmail(&'static str);

impl InvalidEmail {
    /// What the address must be, to be read after the field's name.
    #[must_use]
    pub const fn message(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for InvalidEmail {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

impl std::error::Error for InvalidEmail {}

/// A violation of the field `email`, by which name clients know it as a rule.
impl From<InvalidEmail> for Error {
    fn from(error: InvalidEmail) -> Self {
        Self::invalid(vec![Violation::new("email", error.message())])
    }
}

/// An e-mail address.
///
/// It is returned as it was given, trimmed, and compared by its canonical spelling: the domain in
/// ASCII (A-labels, RFC 5890) and all of it in lower case.
///
/// ```
/// use goat_core::Email;
///
/// let email = Email::parse(" Ann@Bücher.example ")?;
/// assert_eq!(email.as_str(), "Ann@Bücher.example");
/// assert_eq!(email.canonical(), "ann@xn--bcher-kva.example");
/// assert_eq!(email, Email::parse("ann@BÜCHER.example")?);
/// # Ok::<(), goat_core::user::InvalidEmail>(())
/// ```
#[derive(Clone)]
pub struct Email {
    given: Box<str>,
    canonical: Box<str>,
}

impl Email {
    /// Parses an address.
    ///
    /// # Errors
    ///
    /// What is over 254 octets, has no `@`, a local part that is not ASCII or is empty, or a domain
    /// that cannot be written in ASCII.
    pub fn parse(text: &str) -> Result<Self, InvalidEmail> {
        let given = text.trim();
        if given.is_empty() {
            return Err(InvalidEmail("must not be empty"));
        }
        if given.len() > MAXIMUM_OCTETS {
            return Err(InvalidEmail("must be at most 254 bytes long"));
        }
        let (local, domain) =
            given.rsplit_once('@').ok_or(InvalidEmail("must have the form name@domain"))?;
        check_local(local)?;
        let canonical = format!("{}@{}", local.to_ascii_lowercase(), canonical_domain(domain)?);
        if canonical.len() > MAXIMUM_OCTETS {
            return Err(InvalidEmail("must be at most 254 bytes long"));
        }
        Ok(Self { given: given.into(), canonical: canonical.into() })
    }

    /// Puts together what a store kept of an address that was parsed before.
    #[must_use]
    pub fn from_stored(given: String, canonical: String) -> Self {
        Self { given: given.into(), canonical: canonical.into() }
    }

    /// The address as it was given, trimmed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.given
    }

    /// The spelling that is compared and that no two users share.
    #[must_use]
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// The part after the `@`, in its canonical spelling.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.canonical.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    /// The text by which attempts on an account are counted, whether or not there is such an
    /// account and whether or not this is an address: all spellings of one are one.
    #[must_use]
    pub fn counting_key(text: &str) -> String {
        match Self::parse(text) {
            Ok(email) => email.canonical.into(),
            Err(_) => text.trim().to_lowercase(),
        }
    }
}

/// An atom with dots (RFC 5321 §4.1.2, `Dot-string`); the quoted form is refused, since most mail
/// systems refuse it and it hides spaces and control characters.
fn check_local(local: &str) -> Result<(), InvalidEmail> {
    if local.is_empty() || local.len() > MAXIMUM_LOCAL_OCTETS {
        return Err(InvalidEmail("must have 1 to 64 characters before the @"));
    }
    let atom = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    if !local.split('.').all(|part| !part.is_empty() && part.bytes().all(atom)) {
        return Err(InvalidEmail(
            "must contain only ASCII letters, digits, single dots and !#$%&'*+-/=?^_`{|}~ before the @",
        ));
    }
    Ok(())
}

fn canonical_domain(domain: &str) -> Result<String, InvalidEmail> {
    const MESSAGE: InvalidEmail = InvalidEmail("must have a valid domain after the @");
    let ascii = idna::domain_to_ascii_cow(domain.as_bytes(), AsciiDenyList::STD3)
        .map_err(|_| MESSAGE)?
        .to_ascii_lowercase();
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= MAXIMUM_LABEL_OCTETS
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if ascii.split('.').all(label) { Ok(ascii) } else { Err(MESSAGE) }
}

impl PartialEq for Email {
    fn eq(&self, other: &Self) -> bool {
        self.canonical == other.canonical
    }
}

impl Eq for Email {}

/// Shows nothing of the address: it is a person's, and `Debug` ends up in logs.
impl fmt::Debug for Email {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Email([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_address_are_one() {
        let email = Email::parse("ann@example.org").expect("an address");
        for other in ["ANN@example.org", " ann@EXAMPLE.org\t", "Ann@Example.ORG"] {
            assert_eq!(Email::parse(other), Ok(email.clone()), "{other}");
            assert_eq!(Email::counting_key(other), "ann@example.org");
        }
        assert_eq!(
            Email::parse("a@bücher.example").expect("an address").canonical(),
            "a@xn--bcher-kva.example",
        );
    }

    #[test]
    fn what_is_not_an_address_is_refused() {
        let long = format!("{}@example.org", "a".repeat(65));
        let longer = format!("a@{}", vec!["b".repeat(60); 5].join("."));
        for text in [
            "",
            " ",
            "ann",
            "@example.org",
            "ann@",
            "a b@example.org",
            "ann@exa mple.org",
            "ä@example.org",
            "a..b@example.org",
            ".a@example.org",
            "a@b..c",
            "a@-b.example",
            "a@[127.0.0.1]",
            "\"a b\"@example.org",
            "a@b@example.org",
            "a\0@example.org",
            "a@example.org\u{0}",
            "a@example_.org",
            &long,
            &longer,
        ] {
            assert!(Email::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_address_does_not_show_in_debug_output() {
        let email = Email::parse("canary@example.org").expect("an address");
        assert!(!format!("{email:?}").contains("canary"));
    }
}
