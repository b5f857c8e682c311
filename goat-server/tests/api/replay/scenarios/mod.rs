//! Scenarios, one subject per file.

pub(crate) mod access;
pub(crate) mod keys;
pub(crate) mod limits;
pub(crate) mod login;
pub(crate) mod mail;
pub(crate) mod rejections;
pub(crate) mod sessions;
pub(crate) mod tokens;
pub(crate) mod users;
