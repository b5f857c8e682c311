//! Breached-password list of the operator (`GOAT_PASSWORD_BREACHED_FILE`), searched on disk without a
//! network.
//!
//! Invariants: the file is read on blocking threads, by a bounded number of searches at once, and a search
//! takes a bounded time. Each search opens the file by its path, so that a newer list that is moved into its
//! place is used from then on. A list that cannot be searched rejects new passwords, as an unavailable
//! dependency: the operator asked that every new password is compared with it (ASVS 5.0, 6.2.12), a user can
//! try again, and sign-ins do not depend on it.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use goat_core::password::BreachedPasswords;
use goat_core::{Secret, StoreError};
use tokio::sync::Semaphore;

use crate::failure::Failure;

use super::breached_list::{BreachedList, Hash, ListError};

/// Searches that read at once: enough for any rate at which passwords are hashed, and few of the blocking
/// threads if the disk stalls.
const CONCURRENT: usize = 8;

/// The operation that errors and the log name.
const OPERATION: &str = "breached_passwords.contains";

/// The breached-password list in a file, as Have I Been Pwned publishes it: lines of a SHA-1 in hexadecimal,
/// a colon and a count, ordered by hash.
#[derive(Clone, Debug)]
pub struct BreachedFile {
    path: PathBuf,
    /// The length at the start.
    length: u64,
    timeout: Duration,
    permits: Arc<Semaphore>,
}

impl BreachedFile {
    /// Opens a list, and checks the form and the order of its first and last lines. A search, with its wait
    /// for others, takes at most `timeout`.
    ///
    /// # Errors
    ///
    /// A configuration failure that names the setting, and the fault and its line.
    pub fn open(path: impl Into<PathBuf>, timeout: Duration) -> Result<Self, Failure> {
        let path = path.into();
        let checked = open(&path).and_then(|list| list.check().map(|()| list.length()));
        match checked {
            Ok(length) => {
                Ok(Self { path, length, timeout, permits: Arc::new(Semaphore::new(CONCURRENT)) })
            }
            Err(error) => Err(Failure::configuration(format!(
                "GOAT_PASSWORD_BREACHED_FILE: the list {} cannot be used: {error}",
                path.display()
            ))),
        }
    }

    async fn search(&self, sha1: Secret<Hash>) -> Result<bool, StoreError> {
        let unavailable = || StoreError::unavailable(OPERATION);
        let permits = Arc::clone(&self.permits);
        let permit =
            permits.acquire_owned().await.map_err(|error| unavailable().with_source(error))?;
        let path = self.path.clone();
        let search = tokio::task::spawn_blocking(move || {
            // Released when the search ends, even if its caller was dropped.
            let _permit = permit;
            open(&path)?.contains(sha1.expose())
        });
        match search.await {
            Ok(found) => found.map_err(|error| unavailable().with_source(error)),
            Err(failure) => Err(unavailable().with_source(failure)),
        }
    }
}

impl fmt::Display for BreachedFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let megabytes = self.length.div_ceil(1_000_000);
        write!(formatter, "{}, {megabytes} MB", self.path.display())
    }
}

#[async_trait]
impl BreachedPasswords for BreachedFile {
    async fn contains(&self, sha1: &Secret<Hash>) -> Result<bool, StoreError> {
        let search = self.search(sha1.clone());
        tokio::time::timeout(self.timeout, search)
            .await
            .unwrap_or_else(|elapsed| Err(StoreError::unavailable(OPERATION).with_source(elapsed)))
    }
}

fn open(path: &Path) -> Result<BreachedList<File>, ListError> {
    // Before it is opened: the open of a named pipe waits for a writer.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file").into());
    }
    BreachedList::of(File::open(path)?)
}

#[cfg(test)]
mod tests;
