//! What is asked, one theme a file.

pub(crate) mod access;
pub(crate) mod limits;
pub(crate) mod sessions;
pub(crate) mod signing;
pub(crate) mod tokens;
pub(crate) mod users;
pub(crate) mod wrong;
