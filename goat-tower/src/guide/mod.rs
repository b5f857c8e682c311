//! From other crates to goat: what to write in place of what, what goat does otherwise, and what is
//! lost.
//!
//! | you have | for | read |
//! |---|---|---|
//! | axum-login, tower-sessions | who is signed in, and what they may do | [`from_axum_login`] |
//! | tower_governor | how often somebody may ask | [`from_tower_governor`] |
//! | casbin, axum-casbin | what somebody may do | [`from_casbin`] |
//!
//! Each page stands alone, and so does each step: goat's layers are layers like any other and stand
//! beside what you have. Limits are the easiest to begin with, since they need neither users nor
//! sessions of goat; then come sign-in and sessions, then permissions. The code under "you write" is
//! compiled and run with goat's tests; that under "you wrote" is the other crate's interface in short,
//! at the version that is named there.
//!
//! Before you begin, three things that goat is not:
//!
//! - **No store of values for a session.** A session says who is signed in and nothing more. A shopping
//!   cart stays in tower-sessions, or in a table by [user](goat_core::Principal::user).
//! - **No sign-in by others.** goat signs in by e-mail address and password. There is no OAuth and no
//!   passkey, and no way to begin a session for somebody who has proved who they are elsewhere. If
//!   that is how your users come in, keep what you have; limits and denials work without.
//! - **No language for rules.** A role has permissions, and a route asks for them.

/// From axum-login and tower-sessions.
#[doc = include_str!("axum_login.md")]
pub mod from_axum_login {}

/// From tower_governor.
#[doc = include_str!("tower_governor.md")]
pub mod from_tower_governor {}

/// From casbin and axum-casbin.
#[doc = include_str!("casbin.md")]
pub mod from_casbin {}
