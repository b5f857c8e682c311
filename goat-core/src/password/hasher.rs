//! Port: password hashing and verification.

use std::error::Error as StdError;
use std::fmt;

use crate::error::{Error, ErrorKind};

/// Port: hashes and verifies passwords. [`Argon2id`](super::Argon2id) is the implementation for
/// production.
///
/// An implementation guarantees that
///
/// - the work is bounded for any password and any stored text: a stored hash above the accepted
///   cost is refused before any work;
/// - a verification costs the same whether it matches or not, and the comparison takes constant
///   time;
/// - all bytes of the password count, and no part of it is kept or appears in an error;
/// - earlier results of `hash` still verify after a change of parameters, as
///   [`Verification::MatchesOutdated`].
///
/// The methods are slow and blocking by design. [`HashBulkhead`](super::HashBulkhead) calls them
/// outside the async workers and bounds their concurrency.
pub trait PasswordHasher: fmt::Debug + Send + Sync {
    /// Hashes with the current parameters and a random salt into a text to store.
    ///
    /// # Errors
    ///
    /// If hashing fails, for example for lack of memory.
    fn hash(&self, password: &[u8]) -> Result<String, HashError>;

    /// Verifies a password against a stored text, at the cost of that text's parameters.
    ///
    /// # Errors
    ///
    /// The errors of [`check`](Self::check), before any work is done; or if hashing fails. A wrong
    /// password is not an error.
    fn verify(&self, password: &[u8], stored: &str) -> Result<Verification, HashError>;

    /// Checks that a stored text can be verified, without hashing. Used at startup, to detect a
    /// missing pepper.
    ///
    /// # Errors
    ///
    /// If the text is not a readable hash, is above the accepted cost, or needs a missing pepper.
    fn check(&self, stored: &str) -> Result<(), HashError>;

    /// A stored text with the current parameters that no password matches. Verifying against it
    /// costs as much as a login of an existing user.
    fn dummy_hash(&self) -> &str;
}

/// Whether a stored text is the hash of a password: not empty, and not marked by `!` or `*`.
pub(crate) fn is_password(stored: &str) -> bool {
    !stored.is_empty() && !stored.starts_with(['!', '*'])
}

/// Checks a sample of stored hashes. The text of a user without a password is empty, or begins with `!` or
/// `*`, as in shadow(5) and in Django; such a user can log in once a password is set.
///
/// # Errors
///
/// A configuration error if a hash is unreadable or needs a missing pepper; an internal error if one is
/// above the accepted cost.
pub fn check_sample(
    hashes: &[String],
    check: impl Fn(&str) -> Result<(), HashError>,
) -> crate::error::Result<()> {
    let mut unreadable = Vec::new();
    for hash in hashes.iter().filter(|hash| is_password(hash)) {
        match check(hash) {
            Err(error) if error.is_unreadable() => unreadable.push(error),
            checked => checked?,
        }
    }
    match unreadable.first() {
        None => Ok(()),
        Some(first) => Err(Error::configuration(format!(
            "{} of {} sampled password hashes cannot be verified ({first}); the stored hash of a user \
             without a password is empty or begins with ! or *",
            unreadable.len(),
            hashes.len()
        ))),
    }
}

/// The result of a verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verification {
    /// The password matches.
    Matches,
    /// The password matches, but the hash has other parameters or another pepper than the current
    /// ones and should be replaced.
    MatchesOutdated,
    /// The password does not match.
    Differs,
}

impl Verification {
    /// Whether the password matches.
    #[must_use]
    pub fn matches(self) -> bool {
        self != Self::Differs
    }
}

/// Error of hashing and verification. Contains no part of the password.
pub struct HashError(Fault);

enum Fault {
    Unreadable(&'static str),
    TooCostly,
    MissingPepper(String),
    Failed(Box<dyn StdError + Send + Sync>),
}

impl HashError {
    /// The stored text is not a hash that any configuration could verify; `reason` says why.
    #[must_use]
    pub fn unreadable(reason: &'static str) -> Self {
        Self(Fault::Unreadable(reason))
    }

    /// The stored hash is above the accepted cost, which the configuration may raise.
    #[must_use]
    pub fn too_costly() -> Self {
        Self(Fault::TooCostly)
    }

    /// The stored hash needs a pepper that is not configured; `id` identifies it.
    #[must_use]
    pub fn missing_pepper(id: impl Into<String>) -> Self {
        Self(Fault::MissingPepper(id.into()))
    }

    /// Hashing failed.
    pub fn failed(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self(Fault::Failed(source.into()))
    }

    /// Whether the stored text is not a verifiable hash: its user has no password until a new one
    /// is set.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        matches!(self.0, Fault::Unreadable(_))
    }

    /// Whether this one hash cannot be verified, as opposed to a failure of the installation.
    pub(super) fn is_unusable_hash(&self) -> bool {
        matches!(self.0, Fault::Unreadable(_) | Fault::TooCostly)
    }

    /// Whether a pepper is missing from the configuration.
    #[must_use]
    pub fn is_missing_pepper(&self) -> bool {
        matches!(self.0, Fault::MissingPepper(_))
    }
}

impl fmt::Display for HashError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Fault::Unreadable(reason) => {
                write!(formatter, "stored password hash refused: {reason}")
            }
            Fault::TooCostly => formatter.write_str(
                "stored password hash refused: its parameters are above the accepted cost",
            ),
            Fault::MissingPepper(id) => {
                write!(
                    formatter,
                    "stored password hash needs the pepper {id}, which is not configured"
                )
            }
            Fault::Failed(_) => formatter.write_str("password hashing failed"),
        }
    }
}

impl fmt::Debug for HashError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "HashError({self})")
    }
}

impl StdError for HashError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0 {
            Fault::Failed(source) => Some(source.as_ref()),
            Fault::Unreadable(_) | Fault::TooCostly | Fault::MissingPepper(_) => None,
        }
    }
}

impl From<HashError> for Error {
    fn from(error: HashError) -> Self {
        let kind = match error.0 {
            Fault::MissingPepper(_) => ErrorKind::Configuration,
            Fault::Unreadable(_) | Fault::TooCostly | Fault::Failed(_) => ErrorKind::Internal,
        };
        Self::new(kind, error.to_string()).with_source(error)
    }
}
