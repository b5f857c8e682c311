//! E-mail addresses: parsed once, kept as given, compared in canonical spelling.
//!
//! Invariant: the canonical spelling is computed here and never by a database, so that every store
//! agrees on which two addresses are the same.

use std::fmt;

use idna::AsciiDenyList;

use crate::error::{Error, Violation};

/// Longest address, in octets (RFC 5321 §4.5.3.1.3).
const MAXIMUM_OCTETS: usize = 254;
/// Longest local part, in octets (RFC 5321 §4.5.3.1.1).
const MAXIMUM_LOCAL_OCTETS: usize = 64;
/// Longest label of a domain, in octets (RFC 1035 §2.3.4).
const MAXIMUM_LABEL_OCTETS: usize = 63;

/// The domain of the addresses of service accounts; reserved never to receive mail (RFC 2606 §2).
pub(crate) const SERVICE_DOMAIN: &str = "service.invalid";

/// The error for a text that is not an e-mail address; `Display` names the unmet requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidEmail(&'static str);

impl InvalidEmail {
    /// Returns the unmet requirement, worded to follow the field's name.
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

/// A violation of the field `email`, its usual name in a request.
impl From<InvalidEmail> for Error {
    fn from(error: InvalidEmail) -> Self {
        Self::invalid(vec![Violation::new("email", error.message())])
    }
}

/// An e-mail address.
///
/// Displayed as given, trimmed; compared in canonical spelling: lower case, with the domain in ASCII
/// (A-labels, RFC 5890).
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
    /// If the text is over 254 octets, has no `@`, an empty or non-ASCII local part, or a domain
    /// without an ASCII form.
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

    /// Returns the address if a person may have it: its domain is not that of service accounts.
    ///
    /// ```
    /// use goat_core::Email;
    ///
    /// assert!(Email::parse("backup@service.invalid").and_then(Email::of_person).is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// The domain is that of service accounts.
    pub fn of_person(self) -> Result<Self, InvalidEmail> {
        if self.is_of_service() {
            return Err(InvalidEmail(
                "must not be in service.invalid, the domain of service accounts",
            ));
        }
        Ok(self)
    }

    /// Whether the address is that of a service account.
    #[must_use]
    pub fn is_of_service(&self) -> bool {
        self.domain() == SERVICE_DOMAIN
    }

    /// Restores an address that was parsed before it was stored.
    #[must_use]
    pub fn from_stored(given: String, canonical: String) -> Self {
        Self { given: given.into(), canonical: canonical.into() }
    }

    /// Returns the address as given, trimmed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.given
    }

    /// Returns the canonical spelling, which is unique among users.
    #[must_use]
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// Returns the domain, in canonical spelling.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.canonical.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    /// Returns the key under which login attempts are counted: one for all spellings of an address,
    /// also for texts that are no address or belong to no account.
    #[must_use]
    pub fn counting_key(text: &str) -> String {
        match Self::parse(text) {
            Ok(email) => email.canonical.into(),
            Err(_) => text.trim().to_lowercase(),
        }
    }
}

/// Checks for a `Dot-string` (RFC 5321 §4.1.2). The quoted form is rejected: most mail systems reject
/// it, and it can contain spaces and control characters.
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

/// Redacts the address: it is personal data, and `Debug` output reaches logs.
impl fmt::Debug for Email {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Email([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_address_are_equal() {
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
    fn invalid_addresses_are_rejected() {
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
    fn debug_output_redacts_the_address() {
        let email = Email::parse("canary@example.org").expect("an address");
        assert!(!format!("{email:?}").contains("canary"));
    }
}
