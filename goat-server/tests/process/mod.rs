//! The real program, as an operator starts it, and a client that speaks to it.

#![expect(dead_code, unused_imports, reason = "each test program uses a part of it")]

mod client;
mod site;

use std::time::Duration;

pub(crate) use client::{Client, status};
pub(crate) use site::{Site, json, message, mode, sql};

/// Far more than anything here takes: a bound for what hangs, not a measure.
const PATIENCE: Duration = Duration::from_secs(60);
