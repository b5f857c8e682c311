//! Schema state and migrations of a database.

use sha2::{Digest, Sha256};

/// The state of a database schema relative to this version of goat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// The database has no tables.
    Empty,
    /// The database has these tables, and none of goat's.
    Foreign(Vec<String>),
    /// The schema is older than this version and can be migrated.
    Behind,
    /// The schema is current.
    Current,
    /// The schema is newer than this version, which must not use it.
    Ahead,
}

/// Options of a migration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MigrateOptions {
    /// Whether goat may create its tables in a database with foreign tables. True for an application
    /// that shares the database with goat; false for a server with its own database, which so detects
    /// a wrong database URL.
    pub adopt_foreign: bool,
}

/// A migration step. It never changes after its release.
#[derive(Debug)]
pub(super) struct Migration {
    pub(super) version: i64,
    pub(super) name: &'static str,
    pub(super) sql: &'static str,
}

impl Migration {
    /// Returns the checksum of the SQL text, which detects a database that another text migrated. Line
    /// endings are ignored, since a checkout may change them.
    pub(super) fn checksum(&self) -> String {
        let text: String = self.sql.chars().filter(|&character| character != '\r').collect();
        Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
