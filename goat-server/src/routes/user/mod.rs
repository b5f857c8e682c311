//! Users: oneself, and others.

pub(crate) mod list;
pub(crate) mod me;
pub(crate) mod others;
