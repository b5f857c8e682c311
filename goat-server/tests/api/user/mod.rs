//! `/api/v1/user`.

mod admin;
mod list;
