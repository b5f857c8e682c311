//! Service accounts: users without sign-in, for programs.
//!
//! Invariant: a user is a service account if and only if the domain of its address is reserved for them. No
//! change of a user moves its address into the domain or out of it.

use std::fmt;

use crate::access::Role;
use crate::error::{Error, Violation};

use super::Email;
use super::email::SERVICE_DOMAIN;

/// The kind of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UserKind {
    /// A user that signs in.
    Person,
    /// A service account.
    Service,
}

impl UserKind {
    /// All kinds.
    pub const ALL: [Self; 2] = [Self::Person, Self::Service];

    /// Returns the name, as in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Service => "service",
        }
    }

    /// Parses a name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A service account to be created.
#[derive(Clone, Debug)]
pub struct NewService {
    /// The name.
    pub name: ServiceName,
    /// The role.
    pub role: Role,
}

/// The name of a service account, the local part of its address.
///
/// ```
/// use goat_core::user::ServiceName;
///
/// let name = ServiceName::parse("backup")?;
/// assert_eq!(name.email().as_str(), "backup@service.invalid");
/// assert!(ServiceName::parse("nightly backup").is_err());
/// # Ok::<(), goat_core::user::InvalidServiceName>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceName(Email);

/// The error for a text that is not the name of a service account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidServiceName;

impl InvalidServiceName {
    const MESSAGE: &str = "must be 1 to 64 ASCII letters and digits, with single dots, hyphens and underscores between them";
}

impl fmt::Display for InvalidServiceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(Self::MESSAGE)
    }
}

impl std::error::Error for InvalidServiceName {}

/// A violation of the field `name`, its usual name in a request.
impl From<InvalidServiceName> for Error {
    fn from(_: InvalidServiceName) -> Self {
        Self::invalid(vec![Violation::new("name", InvalidServiceName::MESSAGE)])
    }
}

impl ServiceName {
    /// Parses a name: 1 to 64 ASCII letters and digits, with single dots, hyphens and underscores between
    /// them.
    ///
    /// # Errors
    ///
    /// The text has another form.
    pub fn parse(text: &str) -> Result<Self, InvalidServiceName> {
        let is_word =
            |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !text.split(['.', '-', '_']).all(is_word) {
            return Err(InvalidServiceName);
        }
        // The address limits the length.
        Email::parse(&format!("{text}@{SERVICE_DOMAIN}")).map(Self).map_err(|_| InvalidServiceName)
    }

    /// Returns the address.
    #[must_use]
    pub fn email(&self) -> &Email {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_local_part_of_an_address_in_the_reserved_domain() {
        let longest = "a".repeat(64);
        for name in ["backup", "Backup-2", "a.b_c-d", "7", longest.as_str()] {
            let parsed = ServiceName::parse(name).expect(name);
            assert_eq!(parsed.email().as_str(), format!("{name}@service.invalid"));
            assert!(parsed.email().is_of_service());
        }
        let long = "a".repeat(65);
        for name in
            ["", " ", "a b", " a", ".a", "a.", "a..b", "a-_b", "ä", "a@b", "a+b", "a\n", &long]
        {
            assert_eq!(ServiceName::parse(name), Err(InvalidServiceName), "{name:?}");
        }
    }

    #[test]
    fn no_spelling_of_the_reserved_domain_belongs_to_a_person() {
        for text in
            ["a@service.invalid", "A@SERVICE.Invalid", " a@service.invalid ", "a@ｓervice.invalid"]
        {
            let email = Email::parse(text).expect(text);
            assert!(email.is_of_service(), "{text}");
            assert!(email.of_person().is_err(), "{text}");
        }
        for text in ["a@my.service.invalid", "a@service.invalid.example", "a@xservice.invalid"] {
            let email = Email::parse(text).expect(text);
            assert!(!email.is_of_service() && email.of_person().is_ok(), "{text}");
        }
    }
}
