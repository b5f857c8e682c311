//! Peppers: secrets that are kept apart from the database, without which a stolen one cannot be
//! searched for passwords.
//!
//! The pepper is Argon2's own secret input (`K`, RFC 9106 §3.1), so the hash is a keyed one. Each is
//! known by an id that is made from its content and stored with every hash, so that the order in the
//! configuration may change, and a hash whose pepper was lost is told from a wrong password.

use std::fmt;

use argon2::{Algorithm, Argon2, Block, KeyId, Params, PasswordHash, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::error::{Error, Result};
use crate::secret::Secret;

/// The least bytes of a pepper.
const MINIMUM_BYTES: usize = 32;

/// The name of a pepper: not secret, the same wherever the same pepper is configured.
///
/// `Display` is the form in which a stored hash carries it, as `keyid=…` among its parameters.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PepperId([u8; Params::MAX_KEYID_LEN]);

impl PepperId {
    /// The pepper that a stored hash was made with; `None` if it was made without one, or is not a
    /// hash that carries an id of this form.
    #[must_use]
    pub fn of(stored: &str) -> Option<Self> {
        let stored = PasswordHash::new(stored).ok()?;
        let id: KeyId = stored.params.get_str("keyid")?.parse().ok()?;
        id.as_bytes().try_into().ok().map(Self)
    }

    /// Derives the id from the pepper, by Argon2id at OWASP's floor.
    ///
    /// A plain digest would be a fast test for guesses at the pepper, in every stored hash. This way
    /// a guess costs as much as it does through the hash itself, so the id gives nothing away.
    fn derive(pepper: &[u8], memory: &mut [Block]) -> Result<Self, argon2::Error> {
        let mut id = [0; Params::MAX_KEYID_LEN];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT)
            .hash_password_into_with_memory(pepper, b"goat pepper id", &mut id, memory)?;
        Ok(Self(id))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for PepperId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&STANDARD_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for PepperId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The peppers of an installation: the first hashes, all verify.
///
/// To change the pepper, put the new one first and leave the old one until nobody's hash needs it;
/// users' hashes follow as they sign in.
///
/// ```
/// use goat_core::Secret;
/// use goat_core::password::Peppers;
///
/// let peppers = Peppers::new([Secret::new(b"thirty-two bytes or more of noise".to_vec())])?;
/// assert_eq!(peppers.ids().count(), 1);
/// assert!(Peppers::new([Secret::new(b"short".to_vec())]).is_err());
/// # Ok::<(), goat_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Peppers(Vec<Pepper>);

#[derive(Clone, Debug)]
struct Pepper {
    id: PepperId,
    secret: Secret<Vec<u8>>,
}

impl Peppers {
    /// The newest first. Takes as long as a password hash for each.
    ///
    /// # Errors
    ///
    /// A configuration error if one has fewer than 32 bytes or is given twice.
    pub fn new(newest_first: impl IntoIterator<Item = Secret<Vec<u8>>>) -> Result<Self> {
        let mut memory = vec![Block::new(); Params::DEFAULT.block_count()];
        let mut peppers: Vec<Pepper> = Vec::new();
        for secret in newest_first {
            if secret.expose().len() < MINIMUM_BYTES {
                return Err(Error::configuration(format!(
                    "a password pepper must have at least {MINIMUM_BYTES} bytes"
                )));
            }
            let id = PepperId::derive(secret.expose(), &mut memory)
                .map_err(|error| Error::configuration("password pepper").with_source(error))?;
            if peppers.iter().any(|pepper| pepper.id == id) {
                return Err(Error::configuration("a password pepper is given twice"));
            }
            peppers.push(Pepper { id, secret });
        }
        Ok(Self(peppers))
    }

    /// No pepper: a stolen database can be searched for weak passwords, as slowly as Argon2 makes
    /// it.
    #[must_use]
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// The ids, the newest first.
    pub fn ids(&self) -> impl Iterator<Item = PepperId> {
        self.0.iter().map(|pepper| pepper.id)
    }

    /// The one that hashes.
    pub(super) fn newest(&self) -> Option<PepperId> {
        self.ids().next()
    }

    /// The secret behind an id.
    pub(super) fn secret(&self, id: &[u8]) -> Option<&[u8]> {
        let pepper = self.0.iter().find(|pepper| pepper.id.as_bytes() == id)?;
        Some(pepper.secret.expose())
    }
}
