//! Route groups: the parts of the API that an application mounts or leaves out.

/// A group of routes. Every route of the [`table`](super::table()) belongs to exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Group {
    /// Sign-up, sign-in, refresh and sign-out; the current user, its sessions and API keys; token
    /// verification and the public keys, for other services; the sign-in page, and the page to which the
    /// links of letters lead.
    Accounts,
    /// Users and their API keys, roles and permissions.
    Administration,
    /// Health, readiness, metrics, the OpenAPI document and the documentation page.
    Operations,
}

impl Group {
    /// Every group.
    pub const ALL: &'static [Self] = &[Self::Accounts, Self::Administration, Self::Operations];
}
