//! Password hasher for tests: reversible encoding, with a record of all calls.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::password::{HashError, PasswordHasher, Verification};

/// Encodes passwords instead of hashing them, and records its calls. Tests with logins use it for
/// speed, and to check the hashing cost of a login. Clones share the record.
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
/// assert_eq!(hasher.verify(b"abc", hasher.dummy_hash())?, Verification::Differs);
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

/// A recorded call of a [`PlainHasher`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HasherCall {
    /// `hash`, with the parameters of this generation.
    Hash {
        /// The current generation.
        generation: u32,
    },
    /// `verify`.
    Verify {
        /// The generation of the stored hash; `None` for the dummy hash, which is always current.
        generation: Option<u32>,
    },
}

const PREFIX: &str = "plain$";
const DUMMY: &str = "plain$dummy";

impl PlainHasher {
    /// Makes all earlier hashes outdated.
    pub fn change_parameters(&self) {
        self.0.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// Number of verifications since the calls were last taken.
    #[must_use]
    pub fn verifications(&self) -> usize {
        let verified = |call: &&HasherCall| matches!(call, HasherCall::Verify { .. });
        self.calls().iter().filter(verified).count()
    }

    /// Number of hashes since the calls were last taken.
    #[must_use]
    pub fn hashes(&self) -> usize {
        let hashed = |call: &&HasherCall| matches!(call, HasherCall::Hash { .. });
        self.calls().iter().filter(hashed).count()
    }

    /// Takes the recorded calls, in order.
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

/// Decodes the generation and the password.
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
        if stored == DUMMY || read(stored).is_some() {
            Ok(())
        } else {
            Err(HashError::unreadable("it was not made by PlainHasher"))
        }
    }

    fn dummy_hash(&self) -> &str {
        DUMMY
    }
}
