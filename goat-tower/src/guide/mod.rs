//! Migration guides: from other crates to goat.
//!
//! | from | for | guide |
//! |---|---|---|
//! | axum-login, tower-sessions | authentication and sessions | [`from_axum_login`] |
//! | tower_governor | rate limiting | [`from_tower_governor`] |
//! | casbin, axum-casbin | authorization | [`from_casbin`] |
//!
//! Each guide maps the other crate's concepts to goat's, shows the code before and after, lists the
//! differences and missing features, and ends with steps for a gradual migration. The guides are
//! independent: goat's layers work beside those that you have. Rate limits are the easiest start,
//! since they need neither users nor sessions; then authentication and sessions, then permissions.
//! The code with goat is compiled and run as documentation tests; the code with the other crate is
//! abridged, for the version named.
//!
//! goat does not provide:
//!
//! - **Session data.** A session only authenticates a user. Keep a shopping cart in tower-sessions,
//!   or in a table keyed by [user](goat_core::Principal::user). A few small fields of a user fit into the
//!   [attributes](goat_core::user::Attributes) of `me.profile()`.
//! - **Federated login.** Users log in by e-mail address and password. There is no OAuth and no
//!   passkey support, and no way to start a session for a user authenticated elsewhere. If you need
//!   these, keep your authentication; rate limits and problem documents work without goat's.
//! - **A policy language.** A role has permissions, and a route requires them.

/// Migrating from axum-login and tower-sessions.
#[doc = include_str!("axum_login.md")]
pub mod from_axum_login {}

/// Migrating from tower_governor.
#[doc = include_str!("tower_governor.md")]
pub mod from_tower_governor {}

/// Migrating from casbin and axum-casbin.
#[doc = include_str!("casbin.md")]
pub mod from_casbin {}
