//! PostgreSQL and Redis for tests and benches: private, thrown away, and easy to break.
//!
//! - [`Postgres`], [`Redis`], [`RedisCluster`]: `shared()` for one a process, `start(…)` for one of
//!   the test's own, which it may stop, kill, and start again.
//! - [`Sentinel`]: a master and a replica, and who makes the replica the master when it must.
//! - [`Proxy`]: stands before an engine and breaks at the message that a test names.
//!
//! Every engine has its own folder and port and dies with the process that started it, however that
//! ends. One that is not installed fails the test with a sentence that says what to install; none is
//! ever skipped, and none that somebody runs for something else is ever used.

mod account;
mod certificate;
mod cluster;
mod find;
mod keeper;
mod port;
mod postgres;
mod process;
mod proxy;
mod redis;
mod sentinel;

pub use cluster::RedisCluster;
pub use postgres::{Postgres, PostgresOptions};
pub use proxy::{Cut, Proxy};
pub use redis::{Persistence, Redis, RedisOptions};
pub use sentinel::Sentinel;
