//! `/api/v1/user`: the current user, administration of users, and the list of users.

pub(crate) mod admin;
pub(crate) mod attributes;
pub(crate) mod list;
pub(crate) mod me;
