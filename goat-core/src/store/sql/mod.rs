//! Storage in a SQL database: PostgreSQL or SQLite, from one text.
//!
//! The modules `database`, `connection`, `migrate`, `rows`, `users`, `list`, `roles` and `sessions` are
//! compiled once for each database, as children of `postgres` and of `sqlite`. They name the database
//! only through their sibling `dialect`, which holds every difference: how a transaction begins, what
//! is locked, whose clock counts, which codes an error has.
//!
//! Every query is a text that is known when goat is compiled, with `$1` for what is not; the list of
//! users alone is put together, from such texts. Nothing that a caller gives becomes SQL.

mod failure;
#[cfg(feature = "postgres")]
mod postgres;
mod schema;
#[cfg(feature = "sqlite")]
#[cfg_attr(
    feature = "postgres",
    expect(clippy::duplicate_mod, reason = "one text for two databases, as said above")
)]
mod sqlite;

#[cfg(feature = "postgres")]
pub use postgres::{OnUnknownKey, PostgresDatabase, PostgresOptions};
pub use schema::{MigrateOptions, SchemaState};
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteDatabase, SqliteOptions};
