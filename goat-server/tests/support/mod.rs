//! Support for the tests of goat-server: the API in process, the program `goat-server`,
//! and several nodes of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![expect(dead_code, unused_imports, reason = "each test binary uses a part of it")]

pub(crate) mod app;
pub(crate) mod backend;
pub(crate) mod mail;
pub(crate) mod node;
pub(crate) mod process;
pub(crate) mod smtp_sink;
pub(crate) mod two_nodes;
