//! SQL storage for PostgreSQL and SQLite, from one SQL text.
//!
//! The modules `adoption`, `database`, `connection`, `pooled_connection`, `migrate`, `rows`, `users`, `list`,
//! `list_query`, `roles`, `sessions` and `keys` are compiled once per database, as children of `postgres` and of
//! `sqlite`. They refer to the database only through their sibling `dialect`, which contains every
//! difference: how a transaction begins, the locks, the clock and the error codes.
//!
//! Every query is a constant with bind parameters; only the user list is assembled, from constants. No
//! input becomes part of a SQL text.

mod failure;
#[cfg(feature = "postgres")]
mod postgres;
mod schema;
#[cfg(feature = "sqlite")]
#[cfg_attr(
    feature = "postgres",
    expect(clippy::duplicate_mod, reason = "one SQL text for two databases")
)]
mod sqlite;
mod user_table;

#[cfg(feature = "postgres")]
pub use postgres::{
    OnUnknownKey, PostgresAdoption, PostgresDatabase, PostgresOptions, PostgresPoolOptions,
};
pub use schema::{MigrateOptions, SchemaState};
#[cfg(feature = "sqlite")]
pub use sqlite::{Attachment, Restore, SqliteAdoption, SqliteDatabase, SqliteOptions};
pub use user_table::UserTable;
