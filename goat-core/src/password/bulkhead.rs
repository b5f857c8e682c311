//! Bulkhead: a bounded number of concurrent hashes, with a bounded queue.
//!
//! Invariants: hashing never runs on an async worker. A permit is held exactly as long as the hash
//! runs, even if its caller is dropped; a caller dropped while it waits leaves the queue.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::hasher::{HashError, PasswordHasher, Verification};
use super::text::{NewPassword, TriedPassword};
use crate::error::{Error, ErrorKind, Result};

/// `Retry-After` when the queue is full; a full queue of the default size drains in less.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The bounds of a [`HashBulkhead`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BulkheadLimits {
    /// Concurrent hashes; the number of cores by default. More would take memory without being
    /// faster.
    pub running: NonZeroUsize,
    /// Queued callers; 64 by default. Further callers are rejected at once, since their clients
    /// would time out before a longer queue reaches them.
    pub waiting: usize,
}

impl Default for BulkheadLimits {
    fn default() -> Self {
        let running = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self { running, waiting: 64 }
    }
}

/// Current use of a [`HashBulkhead`], for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BulkheadLoad {
    /// Hashes in progress.
    pub running: usize,
    /// Callers in the queue.
    pub waiting: usize,
}

/// Bounds the concurrency of a [`PasswordHasher`], and is the only way to it. Clones share the
/// bounds.
#[derive(Clone, Debug)]
pub struct HashBulkhead {
    hasher: Arc<dyn PasswordHasher>,
    limits: BulkheadLimits,
    slots: Arc<Semaphore>,
    queue: Arc<Semaphore>,
}

impl HashBulkhead {
    /// Wraps a hasher.
    #[must_use]
    pub fn new(hasher: Arc<dyn PasswordHasher>, limits: BulkheadLimits) -> Self {
        let semaphore =
            |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        let (slots, queue) = (semaphore(limits.running.get()), semaphore(limits.waiting));
        Self { hasher, limits, slots, queue }
    }

    /// Hashes a new password into a text to store.
    ///
    /// # Errors
    ///
    /// Unavailable if the queue is full.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime, like all methods that hash.
    pub async fn hash(&self, password: NewPassword) -> Result<String> {
        self.run(move |hasher| hasher.hash(password.as_bytes())).await
    }

    /// Hashes a verified password again because its hash was outdated. The policy does not apply:
    /// an existing password stays valid.
    ///
    /// # Errors
    ///
    /// As [`hash`](Self::hash).
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub async fn rehash(&self, verified: &TriedPassword) -> Result<String> {
        let verified = verified.clone();
        if !verified.is_possible() {
            return Err(Error::new(ErrorKind::Internal, "rehash of a password that cannot match"));
        }
        self.run(move |hasher| hasher.hash(verified.as_bytes())).await
    }

    /// Verifies a password against the stored hash, or against the dummy hash if the user does not exist
    /// or the stored hash is unusable. Always costs exactly one verification (ASVS 5.0, 6.3.8).
    ///
    /// # Errors
    ///
    /// Unavailable if the queue is full; a configuration error if the hash needs a pepper that is
    /// missing. A wrong password is not an error.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub async fn verify(
        &self,
        password: &TriedPassword,
        stored: Option<&str>,
    ) -> Result<Verification> {
        Ok(self.verify_stored(password, stored).await?.0)
    }

    /// Like [`HashBulkhead::verify`]; also returns the error of an unusable stored hash.
    pub(crate) async fn verify_stored(
        &self,
        password: &TriedPassword,
        stored: Option<&str>,
    ) -> Result<(Verification, Option<HashError>)> {
        let (password, stored) = (password.clone(), stored.map(str::to_owned));
        self.run(move |hasher| {
            // TIMING: exactly one verification runs in each case; only its result is treated
            // differently. A hasher refuses an unusable hash before any work, so the dummy hash is
            // verified instead.
            let dummy_hash = || hasher.verify(password.as_bytes(), hasher.dummy_hash());
            let Some(stored) = stored else {
                return dummy_hash().map(|_| (Verification::Differs, None));
            };
            match hasher.verify(password.as_bytes(), &stored) {
                Ok(verification) if password.is_possible() => Ok((verification, None)),
                Ok(_) => Ok((Verification::Differs, None)),
                Err(error) if error.is_unusable_hash() => {
                    dummy_hash().map(|_| (Verification::Differs, Some(error)))
                }
                Err(error) => Err(error),
            }
        })
        .await
    }

    /// Checks that a stored hash can be verified, without hashing. Used at startup, so that a
    /// missing pepper fails there and not at the next login.
    ///
    /// # Errors
    ///
    /// The hasher's error: see [`HashError`].
    pub fn check(&self, stored: &str) -> Result<(), HashError> {
        self.hasher.check(stored)
    }

    /// The bounds.
    #[must_use]
    pub fn limits(&self) -> BulkheadLimits {
        self.limits
    }

    /// The current use.
    #[must_use]
    pub fn load(&self) -> BulkheadLoad {
        let taken = |limit: usize, semaphore: &Semaphore| {
            limit.min(Semaphore::MAX_PERMITS).saturating_sub(semaphore.available_permits())
        };
        BulkheadLoad {
            running: taken(self.limits.running.get(), &self.slots),
            waiting: taken(self.limits.waiting, &self.queue),
        }
    }

    /// Acquires a permit, waiting in the queue if there is room.
    async fn admit(&self) -> Result<OwnedSemaphorePermit> {
        // The semaphore hands a released permit to the first waiter, so this cannot overtake the
        // queue.
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            return Ok(slot);
        }
        let Ok(_place) = self.queue.try_acquire() else {
            let context = "password hashing: the queue is full";
            return Err(Error::unavailable(context, RETRY_AFTER));
        };
        Arc::clone(&self.slots).acquire_owned().await.map_err(|_| {
            Error::new(ErrorKind::Internal, "password hashing: the bulkhead is closed")
        })
    }

    /// Runs blocking work on a blocking thread, under a permit.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn PasswordHasher) -> Result<T, HashError> + Send + 'static,
    ) -> Result<T> {
        let slot = self.admit().await?;
        let hasher = Arc::clone(&self.hasher);
        let task = tokio::task::spawn_blocking(move || {
            // The permit is released when the work ends, even if its caller was dropped.
            let _slot = slot;
            work(&*hasher)
        });
        match task.await {
            Ok(result) => Ok(result?),
            // The panic message is dropped: it could quote the password.
            Err(failure) if failure.is_panic() => {
                Err(Error::new(ErrorKind::Internal, "password hashing panicked"))
            }
            Err(_) => Err(Error::unavailable("password hashing: shutting down", RETRY_AFTER)),
        }
    }
}

#[cfg(test)]
mod tests;
