//! What a new password must be, and what is said where it is not.

use std::borrow::Cow;
use std::fmt;

use super::text::{MAXIMUM_CODE_POINTS, fold};
use crate::error::{Error, Result};

/// The least that a policy may ask for (NIST SP 800-63B-4 §3.1.1.2, where a second factor exists).
const LOWEST_MINIMUM: usize = 8;

/// How long a new password must be, and which names it must not be.
///
/// The default asks for 15 to 256 characters: 15 is what NIST SP 800-63B-4 §3.1.1.2 requires where
/// the password is the only factor, and 256 leaves room for any pass phrase.
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
    /// Folded, none of them empty.
    names: Vec<String>,
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        Self { minimum: 15, maximum: 256, names: vec!["goat".to_owned()] }
    }
}

impl PasswordPolicy {
    /// From `minimum` to `maximum` characters (Unicode code points), both included.
    ///
    /// # Errors
    ///
    /// A configuration error if the minimum is below 8 or above the maximum, or the maximum is
    /// above 1024.
    pub fn new(minimum: usize, maximum: usize) -> Result<Self> {
        if minimum < LOWEST_MINIMUM {
            return Err(Error::configuration(format!(
                "a minimum password length of {minimum} is too low: it may be {LOWEST_MINIMUM} or more"
            )));
        }
        if maximum < minimum || maximum > MAXIMUM_CODE_POINTS {
            return Err(Error::configuration(format!(
                "a maximum password length of {maximum} does not fit: it may be from the minimum, {minimum}, to {MAXIMUM_CODE_POINTS}"
            )));
        }
        Ok(Self { minimum, maximum, ..Self::default() })
    }

    /// Forbids these names in place of `goat`: the product's, the company's, whatever people would
    /// think of first. The empty name forbids nothing.
    #[must_use]
    pub fn with_forbidden_names(
        mut self,
        names: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Self {
        let folded = names.into_iter().map(|name| fold(name.as_ref().trim()).to_string());
        self.names = folded.filter(|name| !name.is_empty()).collect();
        self
    }

    /// The least number of characters.
    #[must_use]
    pub fn minimum(&self) -> usize {
        self.minimum
    }

    /// The greatest number of characters.
    #[must_use]
    pub fn maximum(&self) -> usize {
        self.maximum
    }

    /// Whether a folded text is nothing but one of the forbidden names.
    pub(super) fn forbids(&self, folded: &str) -> bool {
        self.names.iter().any(|name| consists_of(folded, name))
    }
}

/// Whether `text` is `name`, or `name` over and over, the last of them perhaps cut short.
///
/// Names are short and passwords are not, so that equality alone would forbid nothing: who is asked
/// for more characters types the name again.
pub(super) fn consists_of(text: &str, name: &str) -> bool {
    !name.is_empty()
        && text.len() >= name.len()
        && text.bytes().eq(name.bytes().cycle().take(text.len()))
}

/// One thing that is wrong with a new password; `Display` is what it must be, to be read after the
/// field's name.
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
    /// Fewer characters than the policy asks for.
    TooShort {
        /// The least number of characters.
        minimum: usize,
    },
    /// More characters than the policy allows.
    TooLong {
        /// The greatest number of characters.
        maximum: usize,
    },
    /// A character that cannot be typed the same way everywhere: a control character, an invisible
    /// one, or one that Unicode has not assigned.
    Unusable,
    /// Among the passwords that are tried first.
    Common,
    /// The user's e-mail address or the part of it before the `@`.
    Email,
    /// The name of the product, or another that the policy forbids.
    Name,
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
            Self::Unusable => {
                formatter.write_str("must not contain control, invisible or unassigned characters")
            }
            Self::Common => {
                formatter.write_str("must not be a common password or a repetition of one")
            }
            Self::Email => formatter.write_str("must not be based on the e-mail address"),
            Self::Name => formatter.write_str("must not be based on the name of the service"),
        }
    }
}

impl From<PasswordFault> for Cow<'static, str> {
    fn from(fault: PasswordFault) -> Self {
        Self::Owned(fault.to_string())
    }
}
