//! Lock file of a SQLite database: detects a second server on the same file.
//!
//! Without Redis a server keeps limits in its process and receives only its own invalidations. A second
//! one on the file would accept sessions that the first one ended, and double every limit. Servers with
//! Redis share both, and the lock. Commands that end by themselves take no lock.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use crate::failure::Failure;

use super::DataDir;
use super::settings::{Database, StorageSettings};
use super::storage::is_in;

/// The lock of this process on its database; the system releases it when the process ends.
#[derive(Debug)]
pub struct DatabaseLock {
    _file: Option<File>,
}

impl DatabaseLock {
    /// Takes the lock if the database is a file; a shared one with Redis. PostgreSQL needs none: its
    /// servers send one another invalidations.
    ///
    /// The lock is on a file beside the database, `goat.db.lock`: SQLite locks the database itself, and
    /// a process that closes any other handle of that file would lose these locks.
    ///
    /// # Errors
    ///
    /// If another server has the lock, or the folder cannot be written.
    pub fn acquire(settings: &StorageSettings, data: &DataDir) -> Result<Self, Failure> {
        let Database::Sqlite(database) = &settings.database else {
            return Ok(Self { _file: None });
        };
        if is_in(database, data.path()) {
            data.create()?;
        }
        let mut path = database.clone().into_os_string();
        path.push(".lock");
        let path = PathBuf::from(path);
        let failed = |error: std::io::Error| {
            Failure::configuration(format!("cannot lock {} ({error})", path.display()))
        };
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(failed)?;
        let locked = match &settings.redis {
            Some(_) => file.try_lock_shared(),
            None => file.try_lock(),
        };
        match locked {
            Ok(()) => Ok(Self { _file: Some(file) }),
            // A previous server may be shutting down.
            Err(TryLockError::WouldBlock) => Err(Failure::new(format!(
                "another server uses the database {}: stop it, or give both the same Redis, or use \
                 PostgreSQL for several servers",
                database.display()
            ))),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}
