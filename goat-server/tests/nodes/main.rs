//! Several nodes, one truth, over the real program: what one ends or changes the others obey, with
//! and without notices, in races, and while nodes come and go.

#[path = "../process/mod.rs"]
mod process;
#[path = "../engines/support.rs"]
#[expect(dead_code, reason = "this program uses a part of it")]
mod support;
#[path = "../together/mod.rs"]
#[expect(dead_code, unused_imports, reason = "this program uses a part of it")]
mod together;

mod notices;
mod obedience;
mod races;
mod restarts;
mod slow_readers;
