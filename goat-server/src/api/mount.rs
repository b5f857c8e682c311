//! The mount of an API: the prefix of its paths, and its route groups.
//!
//! Paths in the route table, in the log and in metrics are without the prefix, so that they are the same
//! wherever the API is mounted.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::extract::path_is_canonical;
use super::routes::link;
use super::{Endpoint, Group, openapi};

/// The path in front of every path of the API: empty, or segments such as `/auth`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Prefix(Arc<str>);

impl Prefix {
    /// Parses a prefix. Its characters are those that a URL holds unescaped, so that it has one spelling.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
        let is_path = text.len() > 1 && path_is_canonical(text) && text.bytes().all(is_plain);
        (text.is_empty() || is_path).then(|| Self(text.into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the rest of a path behind the prefix.
    pub(super) fn strip<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.strip_prefix(&*self.0)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A mount, shared by its requests.
#[derive(Debug)]
pub(crate) struct Mount {
    prefix: Prefix,
    groups: BTreeSet<Group>,
    document: OnceLock<Bytes>,
    link_pages: link::Pages,
}

impl Mount {
    pub(super) fn new(prefix: Prefix, groups: BTreeSet<Group>) -> Self {
        Self { prefix, groups, document: OnceLock::new(), link_pages: link::Pages::default() }
    }

    /// The whole API without a prefix, as the server has it.
    pub(super) fn whole() -> Self {
        Self::new(Prefix::default(), Group::ALL.iter().copied().collect())
    }

    pub(crate) fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    pub(crate) fn has(&self, group: Group) -> bool {
        self.groups.contains(&group)
    }

    pub(super) fn is_whole(&self) -> bool {
        Group::ALL.iter().all(|group| self.has(*group))
    }

    pub(super) fn includes(&self, endpoint: &Endpoint) -> bool {
        self.has(endpoint.group())
    }

    /// Returns the prefix of the routes for the current user, unless these are elsewhere.
    pub(crate) fn accounts(&self) -> Option<&Prefix> {
        self.has(Group::Accounts).then_some(&self.prefix)
    }

    /// Returns the location of a user or a role, unless the routes of users and roles are elsewhere.
    pub(crate) fn location(&self, path: impl fmt::Display) -> Option<String> {
        self.has(Group::Administration).then(|| format!("{}{path}", self.prefix))
    }

    /// Returns the OpenAPI document of this mount.
    pub(crate) fn document(&self) -> Bytes {
        self.document.get_or_init(|| openapi::text(self).into()).clone()
    }

    /// Returns the pages of links of this mount.
    pub(crate) fn link_pages(&self) -> &link::Pages {
        &self.link_pages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_is_empty_or_a_canonical_path_without_escapes() {
        for valid in ["", "/auth", "/a/b.c/d-1_~"] {
            assert!(Prefix::parse(valid).is_some(), "{valid:?}");
        }
        for invalid in [
            "/", "auth", "/auth/", "//auth", "/a//b", "/.", "/a/../b", "/%61", "/{id}", "/a b",
            "/ä", "/a?b",
        ] {
            assert!(Prefix::parse(invalid).is_none(), "{invalid:?}");
        }
    }
}
