//! `/api/v1/auth`.

mod login;
mod refresh;
