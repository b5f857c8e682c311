//! Prefix of keys, by which secret scanners find them.

use std::borrow::Cow;
use std::fmt;

/// The error for a text that is not a prefix of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidKeyPrefix;

impl fmt::Display for InvalidKeyPrefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("must be 2 to 12 letters of a-z")
    }
}

impl std::error::Error for InvalidKeyPrefix {}

/// The text before the underscore of a key. Default `goat`.
///
/// ```
/// use goat_core::key::KeyPrefix;
///
/// assert_eq!(KeyPrefix::parse("acme").expect("a prefix").as_str(), "acme");
/// assert!(KeyPrefix::parse("Acme").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPrefix(Cow<'static, str>);

impl KeyPrefix {
    /// Parses a prefix.
    ///
    /// # Errors
    ///
    /// If the text is not `[a-z]{2,12}`.
    pub fn parse(text: &str) -> Result<Self, InvalidKeyPrefix> {
        let is_prefix =
            (2..=12).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase());
        if is_prefix { Ok(Self(Cow::Owned(text.to_owned()))) } else { Err(InvalidKeyPrefix) }
    }

    /// Whether a text begins as a key with this prefix does.
    pub(crate) fn begins(&self, text: &str) -> bool {
        text.strip_prefix(&*self.0).is_some_and(|rest| rest.starts_with('_'))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for KeyPrefix {
    fn default() -> Self {
        Self(Cow::Borrowed("goat"))
    }
}
