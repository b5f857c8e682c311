//! Several nodes, one truth: what happens on one holds on the others.

use crate::support::{Node, data, database, node, wait_until};

/// So long that only a notice brings a change to another node while a test waits.
const LONG: (&str, &str) = ("GOAT_SESSION_CACHE_STALENESS", "60s");
