//! A hasher that hashes nothing and counts everything.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::password::{HashError, PasswordHasher, Verification};

/// Stores passwords as they are, only spelt otherwise, and remembers what it was asked. Tests that
/// pass through a login take it for its speed, and to see what a login costs. Clones share the same
/// memory.
///
/// Its parameters are one number, the generation: [`change_parameters`](Self::change_parameters)
/// makes all earlier hashes outdated.
///
/// ```
/// use goat_core::password::{PasswordHasher, Verification};
/// use goat_core::testing::{HasherCall, PlainHasher};
///
/// let hasher = PlainHasher::default();
/// let stored = hasher.hash(b"abc")?;
/// assert_eq!(hasher.verify(b"abc", &stored)?, Verification::Matches);
/// assert_eq!(hasher.verify(b"abc", hasher.decoy())?, Verification::Differs);
///
/// hasher.change_parameters();
/// assert_eq!(hasher.verify(b"abc", &stored)?, Verification::MatchesOutdated);
/// assert_eq!(hasher.verifications(), 3);
/// assert_eq!(hasher.take_calls()[2], HasherCall::Verify { generation: None });
/// # Ok::<(), goat_core::password::HashError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct PlainHasher(Arc<State>);

#[derive(Debug, Default)]
struct State {
    generation: AtomicU32,
    calls: Mutex<Vec<HasherCall>>,
}

/// What a [`PlainHasher`] was asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HasherCall {
    /// To hash, under the parameters of this generation.
    Hash {
        /// The current generation.
        generation: u32,
    },
    /// To verify.
    Verify {
        /// The generation of the stored hash; `None` for the decoy, which is always of the current
        /// one.
        generation: Option<u32>,
    },
}

const PREFIX: &str = "plain$";
const DECOY: &str = "plain$decoy";

impl PlainHasher {
    /// Makes all hashes of before outdated.
    pub fn change_parameters(&self) {
        self.0.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// How many verifications were made since the calls were last taken.
    #[must_use]
    pub fn verifications(&self) -> usize {
        let verified = |call: &&HasherCall| matches!(call, HasherCall::Verify { .. });
        self.calls().iter().filter(verified).count()
    }

    /// How many hashes were made since the calls were last taken.
    #[must_use]
    pub fn hashes(&self) -> usize {
        let hashed = |call: &&HasherCall| matches!(call, HasherCall::Hash { .. });
        self.calls().iter().filter(hashed).count()
    }

    /// All calls in their order, which are then forgotten.
    #[must_use]
    pub fn take_calls(&self) -> Vec<HasherCall> {
        std::mem::take(&mut self.calls())
    }

    fn calls(&self) -> std::sync::MutexGuard<'_, Vec<HasherCall>> {
        self.0.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn generation(&self) -> u32 {
        self.0.generation.load(Ordering::SeqCst)
    }
}

/// Reads the generation and the password back.
fn read(stored: &str) -> Option<(u32, Vec<u8>)> {
    let (generation, password) = stored.strip_prefix(PREFIX)?.split_once('$')?;
    Some((generation.parse().ok()?, STANDARD_NO_PAD.decode(password).ok()?))
}

impl PasswordHasher for PlainHasher {
    fn hash(&self, password: &[u8]) -> Result<String, HashError> {
        let generation = self.generation();
        self.calls().push(HasherCall::Hash { generation });
        Ok(format!("{PREFIX}{generation}${}", STANDARD_NO_PAD.encode(password)))
    }

    fn verify(&self, password: &[u8], stored: &str) -> Result<Verification, HashError> {
        self.check(stored)?;
        let known = read(stored);
        let generation = known.as_ref().map(|(generation, _)| *generation);
        self.calls().push(HasherCall::Verify { generation });
        Ok(match known {
            Some((generation, stored)) if stored == password => {
                if generation == self.generation() {
                    Verification::Matches
                } else {
                    Verification::MatchesOutdated
                }
            }
            Some(_) | None => Verification::Differs,
        })
    }

    fn check(&self, stored: &str) -> Result<(), HashError> {
        if stored == DECOY || read(stored).is_some() {
            Ok(())
        } else {
            Err(HashError::unreadable("it is not one of the plain hasher's"))
        }
    }

    fn decoy(&self) -> &str {
        DECOY
    }
}
