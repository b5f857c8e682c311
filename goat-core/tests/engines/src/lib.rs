//! Private, disposable PostgreSQL and Redis instances for tests and benches, with fault injection.
//!
//! - [`Postgres`], [`Redis`], [`RedisCluster`]: `shared()` for one instance per process, `start(…)`
//!   for an instance of the test's own, which it may stop, kill and restart.
//! - [`Sentinel`]: a master, a replica, and the sentinels that promote it.
//! - [`Proxy`]: relays to an engine and fails at a chosen message.
//!
//! Every engine has its own folder and port, and ends with the process that started it, however
//! that exits. An engine that is not installed fails the test with the package to install; no test
//! is skipped, and no existing instance is ever used.

mod account;
mod certificate;
mod cluster;
mod find;
mod port;
mod postgres;
mod process;
mod proxy;
mod redis;
mod sentinel;
mod supervisor;

pub use cluster::RedisCluster;
pub use postgres::{Postgres, PostgresOptions};
pub use proxy::{Cut, Proxy};
pub use redis::{Persistence, Redis, RedisOptions};
pub use sentinel::Sentinel;
