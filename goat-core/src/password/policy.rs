//! Password policy: the length of a new password, and the names it must not consist of.

use std::borrow::Cow;
use std::fmt;

use super::text::{MAXIMUM_CODE_POINTS, fold, is_freeform};
use crate::error::{Error, Result};

/// The lowest allowed minimum length (NIST SP 800-63B-4 §3.1.1.2, with a second factor).
const LOWEST_MINIMUM: usize = 8;

/// Length limits and forbidden names for new passwords.
///
/// The default is 15 to 256 characters: NIST SP 800-63B-4 §3.1.1.2 requires 15 where the password
/// is the only factor, and 256 leaves room for any pass phrase.
///
/// ```
/// use goat_core::password::PasswordPolicy;
///
/// let policy = PasswordPolicy::new(12, 128)?.with_forbidden_names(["goat", "example"]);
/// assert_eq!((policy.minimum(), policy.maximum()), (12, 128));
/// assert!(PasswordPolicy::new(7, 128).is_err());
/// # Ok::<(), goat_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct PasswordPolicy {
    minimum: usize,
    maximum: usize,
    /// Case-folded and not empty.
    names: Vec<String>,
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        Self { minimum: 15, maximum: 256, names: vec!["goat".to_owned()] }
    }
}

impl PasswordPolicy {
    /// Allows `minimum` to `maximum` characters (Unicode code points), inclusive.
    ///
    /// # Errors
    ///
    /// A configuration error if the minimum is below 8 or above the maximum, or the maximum is
    /// above 1024.
    pub fn new(minimum: usize, maximum: usize) -> Result<Self> {
        if minimum < LOWEST_MINIMUM {
            return Err(Error::configuration(format!(
                "a minimum password length of {minimum} is too low: it must be at least {LOWEST_MINIMUM}"
            )));
        }
        if maximum < minimum || maximum > MAXIMUM_CODE_POINTS {
            return Err(Error::configuration(format!(
                "a maximum password length of {maximum} is invalid: it must be from {minimum}, the minimum, to {MAXIMUM_CODE_POINTS}"
            )));
        }
        Ok(Self { minimum, maximum, ..Self::default() })
    }

    /// Forbids these names in place of `goat`, for example those of the product and the company.
    /// Empty names are ignored.
    #[must_use]
    pub fn with_forbidden_names(
        mut self,
        names: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Self {
        let folded = names.into_iter().map(|name| fold(name.as_ref().trim()).to_string());
        self.names = folded.filter(|name| !name.is_empty()).collect();
        self
    }

    /// The minimum number of characters.
    #[must_use]
    pub fn minimum(&self) -> usize {
        self.minimum
    }

    /// The maximum number of characters.
    #[must_use]
    pub fn maximum(&self) -> usize {
        self.maximum
    }

    /// Whether a case-folded text consists only of a forbidden name.
    pub(super) fn forbids(&self, folded: &str) -> bool {
        self.names.iter().any(|name| consists_of(folded, name))
    }
}

/// Whether `text` is `name`, or repetitions of `name`, the last one possibly truncated.
///
/// Names are shorter than the minimum length, and users reach that length by repetition.
pub(super) fn consists_of(text: &str, name: &str) -> bool {
    !name.is_empty()
        && text.len() >= name.len()
        && text.bytes().eq(name.bytes().cycle().take(text.len()))
}

/// A violated rule for new passwords. `Display` states the rule, phrased to follow the field's
/// name.
///
/// ```
/// use goat_core::Violation;
/// use goat_core::password::{NewPassword, PasswordPolicy};
///
/// let faults = NewPassword::parse("too short", &PasswordPolicy::default(), None).unwrap_err();
/// let violations: Vec<_> =
///     faults.into_iter().map(|fault| Violation::new("password", fault)).collect();
/// assert_eq!(violations, [Violation::new("password", "must have at least 15 characters")]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PasswordFault {
    /// Shorter than the policy requires.
    TooShort {
        /// The minimum number of characters.
        minimum: usize,
    },
    /// Longer than the policy allows.
    TooLong {
        /// The maximum number of characters.
        maximum: usize,
    },
    /// Contains a character that OpaqueString refuses (RFC 8265 §4.2), since it cannot be typed
    /// reliably: a control, invisible or unassigned one, or one without the neighbours that it needs.
    Unusable {
        /// The first such character.
        character: char,
    },
    /// A commonly used password, or a repetition of one.
    Common,
    /// Consists of the user's e-mail address or its local part.
    Email,
    /// Consists of the product's name or another forbidden name.
    Name,
    /// Known from a data breach: a list of [`BreachedPasswords`](super::BreachedPasswords) has it.
    Breached,
}

impl fmt::Display for PasswordFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { minimum } => {
                write!(formatter, "must have at least {minimum} characters")
            }
            Self::TooLong { maximum } => {
                write!(formatter, "must have at most {maximum} characters")
            }
            Self::Unusable { character } => {
                write!(formatter, "must not contain U+{:04X}", u32::from(*character))?;
                if is_freeform(*character) {
                    write!(formatter, " ({character}) in this context")
                } else {
                    formatter
                        .write_str("; control, invisible and unassigned characters are not allowed")
                }
            }
            Self::Common => {
                formatter.write_str("must not be a common password or a repetition of one")
            }
            Self::Email => formatter.write_str("must not be based on the e-mail address"),
            Self::Name => formatter.write_str("must not be based on the name of the service"),
            Self::Breached => {
                formatter.write_str("must not be a password that is known from a data breach")
            }
        }
    }
}

impl From<PasswordFault> for Cow<'static, str> {
    fn from(fault: PasswordFault) -> Self {
        Self::Owned(fault.to_string())
    }
}
