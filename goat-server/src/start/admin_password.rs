//! The file with the generated password of the first administrator: removed once the password is no
//! longer that of an administrator (L7).
//!
//! The owner is the administrator who was created with the file and is unchanged since, else it is found by
//! its password, since the administrator may have another address by now. A hash at each start would take
//! longer than the rest of the start, and keep its memory. Then events of this process tell of a change at once, and a comparison of the stored hash tells of a change
//! by another process.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use goat_core::event::{Event, EventKind, Observer};
use goat_core::user::{Sort, SortKey, UserFilter, UserQuery};
use goat_core::{Secret, User, UserId};

use crate::failure::Failure;

use super::{DataDir, SecretFile, Started};

/// How often the stored hash is compared, for changes by other processes.
pub(crate) const COMPARE_INTERVAL: Duration = Duration::from_secs(60);

/// The longest time from the file to the administrator that is created with it.
const CREATED_WITHIN: Duration = Duration::from_secs(10);

/// The administrator with the password in the file.
#[derive(Clone, Debug)]
struct Owner {
    id: UserId,
    /// The stored hash that the password matched.
    hash: Secret<String>,
}

/// The file `admin-password`, as long as it is true. Clones share its state.
#[derive(Clone, Debug)]
pub(crate) struct AdminPasswordFile {
    path: PathBuf,
    owner: Arc<Mutex<Option<Owner>>>,
}

impl AdminPasswordFile {
    pub(crate) fn new(data: &DataDir) -> Self {
        Self { path: data.path_of(SecretFile::AdminPassword), owner: Arc::default() }
    }

    /// Finds the owner of the password, and removes the file if there is none. Requires that an
    /// administrator exists: the first one is created with the password in the file.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or the database is unavailable.
    pub(crate) async fn find_owner(&self, started: &Started) -> Result<(), Failure> {
        let Some(password) = started.data.read(SecretFile::AdminPassword)? else { return Ok(()) };
        // Oldest first: the file is from the first start.
        let filter = UserFilter {
            roles: vec![started.goat.roles().highest()],
            sort: Sort { key: SortKey::CreatedAt, descending: false },
            ..UserFilter::default()
        };
        let query = UserQuery { filter, hidden_roles: Vec::new(), except: None };
        let page = started.users.list(&query).await?;
        for user in &page.users {
            let Some(account) = started.users.by_id(user.id).await? else { continue };
            if self.was_created_for(&account.user) {
                *self.owner() = Some(Owner { id: user.id, hash: account.password_hash });
                return Ok(());
            }
            let (hasher, password) = (Arc::clone(&started.hashing.hasher), password.clone());
            let hash = account.password_hash.clone();
            let verify = move || hasher.verify(password.expose().as_bytes(), hash.expose());
            match tokio::task::spawn_blocking(verify).await {
                Ok(Ok(found)) if found.matches() => {
                    *self.owner() = Some(Owner { id: user.id, hash: account.password_hash });
                    return Ok(());
                }
                Ok(Ok(_)) => {}
                // A hash that cannot be verified now may be that of the password.
                Ok(Err(_)) | Err(_) => return Ok(()),
            }
        }
        if !page.users.is_empty() && page.total == page.users.len() as u64 {
            self.remove();
        }
        Ok(())
    }

    /// Removes the file if another process changed the password or deleted the administrator.
    ///
    /// # Errors
    ///
    /// If the database is unavailable.
    pub(crate) async fn compare(&self, started: &Started) -> Result<(), Failure> {
        let Some(owner) = self.owner().clone() else { return Ok(()) };
        let account = started.users.by_id(owner.id).await?;
        match account {
            Some(account) if account.password_hash.is_same_as(&owner.hash) => Ok(()),
            // A login may have rehashed the same password.
            _ => self.find_owner(started).await,
        }
    }

    /// Whether the user is unchanged since its creation, right after the file was written.
    fn was_created_for(&self, user: &User) -> bool {
        let written_at = fs::metadata(&self.path).and_then(|file| file.modified()).ok();
        let written_at = written_at.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let created_at = Duration::from_millis(user.created_at.as_millis().unsigned_abs());
        let delay = written_at.and_then(|written_at| created_at.checked_sub(written_at));
        user.updated_at == user.created_at && delay.is_some_and(|delay| delay <= CREATED_WITHIN)
    }

    fn remove(&self) {
        *self.owner() = None;
        match fs::remove_file(&self.path) {
            Ok(()) => tracing::info!(
                file = %self.path.display(),
                "file with the generated password removed: the password has changed"
            ),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(
                %error,
                file = %self.path.display(),
                "cannot remove the file with the generated password, which has changed; remove it"
            ),
        }
    }

    fn owner(&self) -> MutexGuard<'_, Option<Owner>> {
        self.owner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for AdminPasswordFile {
    fn observe(&self, event: &Event) {
        // The undo of a changed address removes the password.
        let makes_untrue = matches!(
            event.kind,
            EventKind::PasswordChanged
                | EventKind::PasswordRecovered
                | EventKind::EmailChangeUndone
                | EventKind::UserDeleted
        );
        if !makes_untrue {
            return;
        }
        let is_owner = self.owner().as_ref().is_some_and(|owner| event.user == Some(owner.id));
        if is_owner {
            self.remove();
        }
    }
}
