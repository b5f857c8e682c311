//! The real program, as an operator starts it, and a client that speaks to it.

mod client;
mod server;
mod site;

use std::time::Duration;

pub(crate) use client::{Client, Response, read_all, status};
pub(crate) use server::{Server, json, message};
pub(crate) use site::{Site, mode, prepare, sql};

/// Far more than anything here takes: a bound for what hangs, not a measure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Settings under which no limit is met by chance.
pub(crate) const UNLIMITED: [(&str, &str); 6] = [
    ("GOAT_RATE_LIMIT_AUTH", "off"),
    ("GOAT_RATE_LIMIT_REFRESH", "off"),
    ("GOAT_RATE_LIMIT_PUBLIC", "off"),
    ("GOAT_RATE_LIMIT_ADDRESS", "off"),
    ("GOAT_RATE_LIMIT_USER", "off"),
    ("GOAT_ADMIN_PASSWORD", ADMIN_PASSWORD),
];

pub(crate) const ADMIN: &str = "admin@goat.local";
pub(crate) const ADMIN_PASSWORD: &str = "the password of the administrator";
