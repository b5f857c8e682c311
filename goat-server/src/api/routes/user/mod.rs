//! `/api/v1/user`: the current user, administration of users, the list of users, service accounts,
//! invitations, and sign-in and recovery of users by an operator.

pub(crate) mod admin;
pub(crate) mod attributes;
pub(crate) mod invite;
pub(crate) mod keys;
pub(crate) mod list;
pub(crate) mod me;
pub(crate) mod recover;
pub(crate) mod service;
pub(crate) mod session;
pub(crate) mod verify_email;
