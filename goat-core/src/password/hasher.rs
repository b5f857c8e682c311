//! The port that hashes: what stands behind the gate, and what it answers.

use std::error::Error as StdError;
use std::fmt;

use crate::error::{Error, ErrorKind};

/// Hashes passwords and verifies them. [`Argon2id`](super::Argon2id) is the one for production.
///
/// An implementer guarantees that
///
/// - the work is bounded, whatever the password and the stored text are: what would cost more than
///   the implementer is ready to pay is refused before it is paid;
/// - a verification costs the same whether it matches or not, and the comparison is constant-time;
/// - all bytes of the password count, and nothing of it is kept or shows in an error;
/// - what `hash` returned keeps verifying after a change of parameters, as
///   [`Verification::MatchesOutdated`].
///
/// The methods take long and block on purpose. They are called by [`HashGate`](super::HashGate),
/// which keeps them off the async workers and bounds how many run at once.
pub trait PasswordHasher: fmt::Debug + Send + Sync {
    /// Hashes under the current parameters, with a salt of its own, into a text to store.
    ///
    /// # Errors
    ///
    /// If the machine cannot do it.
    fn hash(&self, password: &[u8]) -> Result<String, HashError>;

    /// Tells whether a password is the one behind a stored text, at the cost of that text's own
    /// parameters.
    ///
    /// # Errors
    ///
    /// What [`check`](Self::check) finds, and then before any work is done; or if the machine cannot
    /// do it. A wrong password is not an error.
    fn verify(&self, password: &[u8], stored: &str) -> Result<Verification, HashError>;

    /// Tells whether a stored text could be verified, without doing it: for the check at the start,
    /// which is where a lost pepper should be noticed.
    ///
    /// # Errors
    ///
    /// If the text is not a hash that this hasher reads, costs more than it accepts, or needs a
    /// pepper that it does not have.
    fn check(&self, stored: &str) -> Result<(), HashError>;

    /// A stored text under the current parameters that no password matches. Who verifies against it
    /// pays what a known user's login costs.
    fn decoy(&self) -> &str;
}

/// What a verification found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verification {
    /// It is the password.
    Matches,
    /// It is the password, and its hash was made under other parameters or another pepper than the
    /// current ones: hash it again and store that.
    MatchesOutdated,
    /// It is not the password.
    Differs,
}

impl Verification {
    /// Whether it is the password.
    #[must_use]
    pub fn matches(self) -> bool {
        self != Self::Differs
    }
}

/// Why a stored hash could not be made or verified. Never says anything about the password.
pub struct HashError(Fault);

enum Fault {
    Unreadable(&'static str),
    TooCostly,
    MissingPepper(String),
    Failed(Box<dyn StdError + Send + Sync>),
}

impl HashError {
    /// The stored text is not a hash that can be verified here, whatever is configured; `reason`
    /// says what is wrong with it.
    #[must_use]
    pub fn unreadable(reason: &'static str) -> Self {
        Self(Fault::Unreadable(reason))
    }

    /// The stored hash costs more than is accepted, which the configuration may mend.
    #[must_use]
    pub fn too_costly() -> Self {
        Self(Fault::TooCostly)
    }

    /// The stored hash was made with a pepper that is not configured any more; `id` names it.
    #[must_use]
    pub fn missing_pepper(id: impl Into<String>) -> Self {
        Self(Fault::MissingPepper(id.into()))
    }

    /// The machine could not do it.
    pub fn failed(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self(Fault::Failed(source.into()))
    }

    /// Whether the stored text is no hash that can be verified here: whoever it belongs to has no
    /// password until another is set.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        matches!(self.0, Fault::Unreadable(_))
    }

    /// Whether nothing can be compared with the stored hash, which is a matter of this one alone and
    /// is told apart from a failure of the installation.
    pub(super) fn is_of_this_hash(&self) -> bool {
        matches!(self.0, Fault::Unreadable(_) | Fault::TooCostly)
    }

    /// Whether a pepper is missing, which the configuration has to mend.
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
                "stored password hash refused: its parameters cost more than is accepted",
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
