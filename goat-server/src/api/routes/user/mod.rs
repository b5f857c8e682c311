//! Users: oneself, and others.

pub(crate) mod admin;
pub(crate) mod list;
pub(crate) mod me;
