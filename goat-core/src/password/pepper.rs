//! Peppers: secrets kept apart from the database, without which a stolen database cannot be
//! searched for passwords.
//!
//! The pepper is Argon2's secret input (`K`, RFC 9106 §3.1), so the hash is keyed. Each pepper has
//! an id that is derived from its content and stored with every hash. So the order in the
//! configuration may change, and a missing pepper is distinguishable from a wrong password.

use std::fmt;

use argon2::{Algorithm, Argon2, Block, KeyId, Params, PasswordHash, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::error::{Error, Result};
use crate::secret::Secret;

/// Minimum length of a pepper.
const MINIMUM_BYTES: usize = 32;

/// Identifies a pepper: not secret, and the same wherever the same pepper is configured.
///
/// `Display` is the form in a stored hash, the parameter `keyid=…`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PepperId([u8; Params::MAX_KEYID_LEN]);

impl PepperId {
    /// Returns the id in a stored hash; `None` without a pepper, or if the text is not a hash with
    /// an id of this form.
    #[must_use]
    pub fn of(stored: &str) -> Option<Self> {
        let stored = PasswordHash::new(stored).ok()?;
        let id: KeyId = stored.params.get_str("keyid")?.parse().ok()?;
        id.as_bytes().try_into().ok().map(Self)
    }

    /// Derives the id from the pepper, by Argon2id at OWASP's minimum.
    ///
    /// A plain digest in every stored hash would allow fast guesses at the pepper. This way a guess
    /// costs as much as through the hash itself, so the id reveals nothing.
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

/// The peppers of an installation: the first is used for new hashes, all of them for verification.
///
/// To rotate the pepper, put the new one first and keep the old one until no hash needs it; hashes
/// are replaced as users sign in.
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
    /// Takes the peppers, newest first. Takes as long as one password hash for each.
    ///
    /// # Errors
    ///
    /// A configuration error if a pepper has fewer than 32 bytes or occurs twice.
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
                return Err(Error::configuration("a password pepper is configured twice"));
            }
            peppers.push(Pepper { id, secret });
        }
        Ok(Self(peppers))
    }

    /// No pepper: a stolen database can be searched for weak passwords at the cost of Argon2.
    #[must_use]
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// The ids, the newest first.
    pub fn ids(&self) -> impl Iterator<Item = PepperId> {
        self.0.iter().map(|pepper| pepper.id)
    }

    /// The pepper for new hashes.
    pub(super) fn newest(&self) -> Option<PepperId> {
        self.ids().next()
    }

    /// The pepper with an id.
    pub(super) fn secret(&self, id: &[u8]) -> Option<&[u8]> {
        let pepper = self.0.iter().find(|pepper| pepper.id.as_bytes() == id)?;
        Some(pepper.secret.expose())
    }
}
