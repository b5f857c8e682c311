//! `/api/v1/user`: the current user, administration of users, the list of users, and their sign-in by an operator.

pub(crate) mod admin;
pub(crate) mod attributes;
pub(crate) mod list;
pub(crate) mod me;
pub(crate) mod session;
