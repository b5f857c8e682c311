//! Permissions: `resource:verb`, `resource:*`, or `full_access`.

use std::borrow::Cow;
use std::fmt;

/// The longest resource or verb, in characters.
const MAXIMUM_PART: usize = 64;

/// The error for a text that is not a permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidPermission;

impl fmt::Display for InvalidPermission {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(
            "must be full_access, resource:verb or resource:*, with names of 1 to 64 characters of a-z, 0-9 and _",
        )
    }
}

impl std::error::Error for InvalidPermission {}

/// A permission that a role can have.
///
/// ```
/// use goat_core::Permission;
///
/// const REPORTS: Permission = Permission::new("report:read"); // a misspelt form does not compile
/// assert_eq!(REPORTS.as_str(), "report:read");
/// assert!(Permission::parse("Report:read").is_err());
/// ```
///
/// ```compile_fail,E0080
/// # use goat_core::Permission;
/// const REPORTS: Permission = Permission::new("Report:read");
/// # let _ = REPORTS;
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Permission(Cow<'static, str>);

impl Permission {
    /// Allows everything. Only the top role may have it.
    pub const FULL_ACCESS: Self = Self(Cow::Borrowed("full_access"));

    /// Creates a permission from a literal.
    ///
    /// # Panics
    ///
    /// If the text is not a permission; in a constant, that is a compile error.
    #[must_use]
    pub const fn new(text: &'static str) -> Self {
        assert!(
            is_permission(text.as_bytes()),
            "a permission is full_access, resource:verb or resource:*, in a-z, 0-9 and _"
        );
        Self(Cow::Borrowed(text))
    }

    /// Parses a permission.
    ///
    /// # Errors
    ///
    /// If the text has another form.
    pub fn parse(text: &str) -> Result<Self, InvalidPermission> {
        if is_permission(text.as_bytes()) {
            Ok(Self(Cow::Owned(text.to_owned())))
        } else {
            Err(InvalidPermission)
        }
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is [`Permission::FULL_ACCESS`].
    #[must_use]
    pub fn is_full_access(&self) -> bool {
        self.0 == Self::FULL_ACCESS.0
    }

    /// Returns the parts before and after the colon; `None` for `full_access`.
    #[must_use]
    pub fn parts(&self) -> Option<(&str, &str)> {
        self.0.split_once(':')
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The permissions that goat's own services require.
pub mod permissions {
    use super::Permission;

    /// Allows reading other users and their sessions.
    pub const USER_READ: Permission = Permission::new("user:read");
    /// Allows creating users.
    pub const USER_WRITE: Permission = Permission::new("user:write");
    /// Allows changing other users' e-mail and password, and ending their sessions.
    pub const USER_UPDATE: Permission = Permission::new("user:update");
    /// Allows changing other users' roles.
    pub const USER_CHANGE_ROLE: Permission = Permission::new("user:change_role");
    /// Allows changing other users' status.
    pub const USER_CHANGE_STATUS: Permission = Permission::new("user:change_status");
    /// Allows deleting other users.
    pub const USER_DELETE: Permission = Permission::new("user:delete");
    /// Allows opening sessions of users that the operator's own system authenticated.
    pub const SESSION_CREATE: Permission = Permission::new("session:create");
    /// Allows introspecting tokens of any user.
    pub const TOKEN_INTROSPECT: Permission = Permission::new("token:introspect");
}

/// Whether the bytes are `full_access`, `resource:verb` or `resource:*`.
const fn is_permission(text: &[u8]) -> bool {
    let mut colon = 0;
    while colon < text.len() && text[colon] != b':' {
        colon += 1;
    }
    if colon == text.len() {
        return is_full_access(text);
    }
    is_part(text, 0, colon)
        && ((text.len() == colon + 2 && text[colon + 1] == b'*')
            || is_part(text, colon + 1, text.len()))
}

const fn is_full_access(text: &[u8]) -> bool {
    let full = b"full_access";
    if text.len() != full.len() {
        return false;
    }
    let mut index = 0;
    while index < full.len() {
        if text[index] != full[index] {
            return false;
        }
        index += 1;
    }
    true
}

const fn is_part(text: &[u8], start: usize, end: usize) -> bool {
    if start >= end || end - start > MAXIMUM_PART {
        return false;
    }
    let mut index = start;
    while index < end {
        if !matches!(text[index], b'a'..=b'z' | b'0'..=b'9' | b'_') {
            return false;
        }
        index += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permission_syntax_is_strict() {
        let long = format!("{}:read", "a".repeat(65));
        for text in ["user:read", "user:*", "full_access", "a_1:b_2", &"a".repeat(64).add(":b")] {
            assert!(Permission::parse(text).is_ok(), "{text}");
        }
        for text in [
            "",
            ":",
            "user",
            "user:",
            ":read",
            "*:read",
            "*:*",
            "*",
            "user:read:all",
            "User:read",
            "user:Read",
            "user:re*",
            "user :read",
            "full_access ",
            "FULL_ACCESS",
            "full_access:*\n",
            "üser:read",
            &long,
        ] {
            assert_eq!(Permission::parse(text), Err(InvalidPermission), "{text:?}");
        }
    }

    trait Add {
        fn add(&self, other: &str) -> String;
    }

    impl Add for String {
        fn add(&self, other: &str) -> String {
            format!("{self}{other}")
        }
    }
}
