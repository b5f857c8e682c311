//! The program as an operator runs it, and an HTTP client for it.

mod chromium;
mod client;
mod letters;
mod program;
mod proxy;
mod server;

use std::time::Duration;

pub(crate) use chromium::Chromium;
pub(crate) use client::{Client, Response, read_all, status};
pub(crate) use letters::{letter, letters, link_token, token_of};
pub(crate) use program::{Program, mode, prepare, sql};
pub(crate) use proxy::{Proxy, free_address};
pub(crate) use server::{Server, json, message};

/// A bound for hanging calls, far above what anything takes.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// Settings without rate limits.
pub(crate) const UNLIMITED: [(&str, &str); 10] = [
    ("GOAT_RATE_LIMIT_AUTH", "off"),
    ("GOAT_RATE_LIMIT_REFRESH", "off"),
    ("GOAT_RATE_LIMIT_PUBLIC", "off"),
    ("GOAT_RATE_LIMIT_ADDRESS", "off"),
    ("GOAT_RATE_LIMIT_USER", "off"),
    ("GOAT_RATE_LIMIT_VERIFY", "off"),
    ("GOAT_RATE_LIMIT_SESSION_CONTROL", "off"),
    ("GOAT_RATE_LIMIT_PASSWORD_CHECK", "off"),
    ("GOAT_RATE_LIMIT_MAIL", "off"),
    ("GOAT_ADMIN_PASSWORD", ADMIN_PASSWORD),
];

/// The secrets that production requires.
pub(crate) const PRODUCTION: [(&str, &str); 4] = [
    ("GOAT_ENV", "production"),
    ("GOAT_JWT_SECRET", "kT9vQ2xLr7ZpWc4NfYb8HsJd3MgRu6Ea"),
    ("GOAT_PASSWORD_PEPPER", "Xr6HdT3VqzS9nKc1yLfBw8GmJp5Ae2Du"),
    ("GOAT_ADMIN_PASSWORD", ADMIN_PASSWORD),
];

pub(crate) const ADMIN: &str = "admin@goat.local";
pub(crate) const ADMIN_PASSWORD: &str = "the password of the administrator";
