//! Engines that fail under nodes that run, in every way an engine fails: cut at any message, silent,
//! read-only, out of connections, killed, emptied, set back in time. What was answered is kept,
//! nobody is let in unchecked, and all is well again by itself.

#[path = "../process/mod.rs"]
mod process;
#[path = "../engines/support.rs"]
#[expect(dead_code, reason = "this program uses a part of it")]
mod support;
#[path = "../together/mod.rs"]
#[expect(dead_code, unused_imports, reason = "this program uses a part of it")]
mod together;

mod answers;
mod flows;
mod kills;
mod read_only;
mod states;
mod sweep;
