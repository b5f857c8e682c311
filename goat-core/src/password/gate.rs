//! The gate before the hasher: so many hashes at once, so many callers waiting, no more.
//!
//! Invariants: hashing never runs on an async worker. A place is held exactly as long as the hash
//! runs, also when its caller has gone; a caller that goes away while it waits leaves the queue.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::hasher::{HashError, PasswordHasher, Verification};
use super::text::{NewPassword, TriedPassword};
use crate::error::{Error, ErrorKind, Result};

/// What a caller that finds the queue full is told to wait: a full queue of the default settings is
/// worked off in less.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How much the gate lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateLimits {
    /// Hashes at once. By default as many as the machine has cores: more take memory and are no
    /// faster.
    pub running: NonZeroUsize,
    /// Callers that wait for their turn; 64 by default. One more is refused at once, because a
    /// client would have given up before a longer queue came to it.
    pub waiting: usize,
}

impl Default for GateLimits {
    fn default() -> Self {
        let running = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self { running, waiting: 64 }
    }
}

/// How much is going on, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateLoad {
    /// Hashes that run now.
    pub running: usize,
    /// Callers that wait now.
    pub waiting: usize,
}

/// The only way to the hasher. Clones share the same limits.
#[derive(Clone, Debug)]
pub struct HashGate {
    hasher: Arc<dyn PasswordHasher>,
    limits: GateLimits,
    slots: Arc<Semaphore>,
    queue: Arc<Semaphore>,
}

impl HashGate {
    /// Guards a hasher.
    #[must_use]
    pub fn new(hasher: Arc<dyn PasswordHasher>, limits: GateLimits) -> Self {
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
    /// Outside a Tokio runtime, as all methods that hash.
    pub async fn hash(&self, password: NewPassword) -> Result<String> {
        self.run(move |hasher| hasher.hash(password.as_bytes())).await
    }

    /// Hashes a password that was verified, because its hash was outdated. The policy is not asked
    /// again: whoever signed in may go on.
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
            return Err(Error::new(ErrorKind::Internal, "rehash of what matches nothing"));
        }
        self.run(move |hasher| hasher.hash(verified.as_bytes())).await
    }

    /// Verifies what somebody typed against the stored hash, or against nobody's where there is no
    /// such user, or none whose stored hash can be verified. Costs exactly one verification whatever
    /// is stored and was typed (ASVS 5.0, 6.3.8).
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

    /// As [`HashGate::verify`], and what is wrong with the stored hash if nothing can be compared
    /// with it.
    pub(crate) async fn verify_stored(
        &self,
        password: &TriedPassword,
        stored: Option<&str>,
    ) -> Result<(Verification, Option<HashError>)> {
        let (password, stored) = (password.clone(), stored.map(str::to_owned));
        self.run(move |hasher| {
            // TIMING: one verification, and only what it said decides differently. A hasher refuses
            // what it cannot verify before it works, so that the decoy is the one then.
            let decoy = || hasher.verify(password.as_bytes(), hasher.decoy());
            let Some(stored) = stored else {
                return decoy().map(|_| (Verification::Differs, None));
            };
            match hasher.verify(password.as_bytes(), &stored) {
                Ok(verification) if password.is_possible() => Ok((verification, None)),
                Ok(_) => Ok((Verification::Differs, None)),
                Err(error) if error.is_of_this_hash() => {
                    decoy().map(|_| (Verification::Differs, Some(error)))
                }
                Err(error) => Err(error),
            }
        })
        .await
    }

    /// Tells whether a stored hash could be verified, without doing it: for the check at the start,
    /// so that a lost pepper is an error there and not a failed login.
    ///
    /// # Errors
    ///
    /// What the hasher finds: see [`HashError`].
    pub fn check(&self, stored: &str) -> Result<(), HashError> {
        self.hasher.check(stored)
    }

    /// What the gate lets in.
    #[must_use]
    pub fn limits(&self) -> GateLimits {
        self.limits
    }

    /// What goes on now.
    #[must_use]
    pub fn load(&self) -> GateLoad {
        let taken = |limit: usize, semaphore: &Semaphore| {
            limit.min(Semaphore::MAX_PERMITS).saturating_sub(semaphore.available_permits())
        };
        GateLoad {
            running: taken(self.limits.running.get(), &self.slots),
            waiting: taken(self.limits.waiting, &self.queue),
        }
    }

    /// Waits for a slot, if there is a place to wait.
    async fn admit(&self) -> Result<OwnedSemaphorePermit> {
        // A slot is free only when nobody waits for it: one that is given back goes to the first in
        // the queue, so nobody is overtaken here.
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            return Ok(slot);
        }
        let Ok(_place) = self.queue.try_acquire() else {
            let context = "password hashing: all slots are taken and the queue is full";
            return Err(Error::unavailable(context, RETRY_AFTER));
        };
        Arc::clone(&self.slots)
            .acquire_owned()
            .await
            .map_err(|_| Error::new(ErrorKind::Internal, "password hashing: the gate is closed"))
    }

    /// Runs work on a thread for blocking work, in a slot.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn PasswordHasher) -> Result<T, HashError> + Send + 'static,
    ) -> Result<T> {
        let slot = self.admit().await?;
        let hasher = Arc::clone(&self.hasher);
        let task = tokio::task::spawn_blocking(move || {
            // The slot is given back when the work is done, whether or not anybody still waits.
            let _slot = slot;
            work(&*hasher)
        });
        match task.await {
            Ok(result) => Ok(result?),
            // What a panic says is not passed on: it could quote what was hashed.
            Err(failure) if failure.is_panic() => {
                Err(Error::new(ErrorKind::Internal, "password hashing panicked"))
            }
            Err(_) => Err(Error::unavailable("password hashing: shutting down", RETRY_AFTER)),
        }
    }
}

#[cfg(test)]
mod tests;
