//! User lists: filter, sort order, pagination and search.

use crate::access::Role;
use crate::id::UserId;
use crate::page::PageRequest;

use super::{Status, User, UserKind};

/// The sort key of a list; ties are sorted by id in the same direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortKey {
    /// The time of creation.
    #[default]
    CreatedAt,
    /// The canonical e-mail address, bytewise.
    Email,
    /// The time of the last login; users without a login sort as earliest.
    LastLoginAt,
}

/// A sort order. The default is newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// The sort key.
    pub key: SortKey,
    /// Whether the largest comes first.
    pub descending: bool,
}

impl Sort {
    /// The names of all sort orders in the API.
    pub const NAMES: [&'static str; 6] =
        ["created_at", "-created_at", "email", "-email", "last_login_at", "-last_login_at"];

    /// Parses a name such as `email` or `-created_at`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (descending, name) = text.strip_prefix('-').map_or((false, text), |name| (true, name));
        let key = match name {
            "created_at" => SortKey::CreatedAt,
            "email" => SortKey::Email,
            "last_login_at" => SortKey::LastLoginAt,
            _ => return None,
        };
        Some(Self { key, descending })
    }
}

impl Default for Sort {
    fn default() -> Self {
        Self { key: SortKey::CreatedAt, descending: true }
    }
}

/// The filter, order and page of a list of the users that the caller may see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserFilter {
    /// Only users with one of these roles; empty for all.
    pub roles: Vec<Role>,
    /// Only users with one of these statuses; empty for all.
    pub statuses: Vec<Status>,
    /// Only users of this kind; `None` for all.
    pub kind: Option<UserKind>,
    /// Only users with an e-mail address or domain that starts with this text, ignoring case.
    pub search: Option<String>,
    /// The sort order.
    pub sort: Sort,
    /// The page.
    pub page: PageRequest,
    /// Continues after this user in the default order (keyset pagination), in place of `page` and
    /// `sort`. The position of a deleted or hidden user follows from the time in
    /// the id: see `UserStore::list`.
    pub after: Option<UserId>,
}

/// The query to a store: the filter, and the users that are hidden from the caller.
#[derive(Clone, Debug)]
pub struct UserQuery {
    /// The caller's filter, with `search` in canonical spelling.
    pub filter: UserFilter,
    /// Roles with users that are hidden from the caller…
    pub hidden_roles: Vec<Role>,
    /// …except this user, the caller, if there is one.
    pub except: Option<UserId>,
}

/// A page of users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserPage {
    /// The users.
    pub users: Vec<User>,
    /// The number of users in the whole list, at most 10,000.
    pub total: u64,
    /// Whether the list has more than 10,000 users; then `total` is 10,000.
    pub total_is_lower_bound: bool,
}

/// Returns the canonical prefix for a search text: lower case, with a non-ASCII domain as A-labels
/// where that is possible.
pub(crate) fn canonical_search(text: &str) -> String {
    let text = text.trim().to_lowercase();
    if text.is_ascii() {
        return text;
    }
    let (before, domain) = text
        .rsplit_once('@')
        .map_or((None, text.as_str()), |(local, domain)| (Some(local), domain));
    let domain = idna::domain_to_ascii(domain).unwrap_or_else(|_| domain.to_owned());
    before.map_or(domain.clone(), |local| format!("{local}@{domain}"))
}
