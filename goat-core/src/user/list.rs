//! Lists of users: what to show, in which order, from where on.

use crate::access::Role;
use crate::id::UserId;
use crate::page::PageRequest;

use super::{Status, User};

/// What the entries of a list are sorted by; ties by id in the same direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortKey {
    /// When the user was made.
    #[default]
    CreatedAt,
    /// The canonical e-mail address, bytewise.
    Email,
    /// When the user last signed in; who never did comes as earliest.
    LastLoginAt,
}

/// An order of users. The default is the newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// What to sort by.
    pub key: SortKey,
    /// Whether the largest comes first.
    pub descending: bool,
}

impl Sort {
    /// The names of all orders, as the API has them.
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

/// Which users of those that the caller may see, and in which order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserFilter {
    /// Only users of one of these roles; empty for all.
    pub roles: Vec<Role>,
    /// Only users in one of these states; empty for all.
    pub statuses: Vec<Status>,
    /// Only users whose e-mail address, or its domain, begins so, without regard to case.
    pub search: Option<String>,
    /// The order.
    pub sort: Sort,
    /// Which page.
    pub page: PageRequest,
    /// Go on after this user in the default order, instead of by page and in another order. A user
    /// who is gone, or hidden from the caller, stands where the time in the id says: see
    /// [`UserStore::list`](super::UserStore::list).
    pub after: Option<UserId>,
}

/// What a store is asked for: the filter, and whom the caller may see at all.
#[derive(Clone, Debug)]
pub struct UserQuery {
    /// What the caller asks for. `search` is in canonical spelling here.
    pub filter: UserFilter,
    /// Users of these roles are hidden from the caller…
    pub hidden_roles: Vec<Role>,
    /// …except this one, the caller, if there is one.
    pub except: Option<UserId>,
}

/// A page of users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserPage {
    /// The users.
    pub users: Vec<User>,
    /// How many the whole list has, exact to 10,000.
    pub total: u64,
    /// Set where there are more than 10,000: then `total` is 10,000.
    pub total_is_lower_bound: bool,
}

/// The canonical beginning that a search text stands for: lower case, and a domain's part that is
/// not ASCII as A-labels, as far as it can be written so.
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
