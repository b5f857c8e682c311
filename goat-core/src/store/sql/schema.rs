//! The schema of a database: which migrations there are, and how far a database has come.

use sha2::{Digest, Sha256};

/// How a database's schema stands to this version of goat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// The database has no tables at all.
    Empty,
    /// The database has these tables, and goat never set up its own.
    Foreign(Vec<String>),
    /// Goat's tables are older than this version, and can be migrated.
    Behind,
    /// Goat's tables are as this version needs them.
    Current,
    /// Goat's tables were made by a newer version. This one must leave them alone.
    Ahead,
}

/// What a migration may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MigrateOptions {
    /// Whether goat may set up its tables beside those of somebody else. An application that keeps
    /// its own data in the same database says yes; a server that has a database to itself says no,
    /// and so finds out that it was given the wrong one.
    pub adopt_foreign: bool,
}

/// A step from one schema to the next. Once released it never changes.
#[derive(Debug)]
pub(super) struct Migration {
    pub(super) version: i64,
    pub(super) name: &'static str,
    pub(super) sql: &'static str,
}

impl Migration {
    /// What shows that a database was brought here by this very text. Line ends do not count, since
    /// a checkout may change them.
    pub(super) fn checksum(&self) -> String {
        let text: String = self.sql.chars().filter(|&character| character != '\r').collect();
        Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
