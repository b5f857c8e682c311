//! Argon2id (RFC 9106) with peppers, stored as PHC strings.
//!
//! Invariant: a stored text is parsed, and refused if malformed or too costly, before any memory is
//! allocated.

use std::fmt;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Params, Version};

use super::buffers::Buffers;
use super::hasher::{HashError, PasswordHasher, Verification};
use super::pepper::Peppers;
use super::settings::Argon2Settings;
use crate::secret::random;

const SALT_BYTES: usize = 16;
const TAG_BYTES: usize = 32;

/// Shorter tags could be matched by chance.
const SHORTEST_TAG_BYTES: usize = 16;

/// The password hasher for production.
///
/// It writes `$argon2id$v=19$m=…,t=…,p=…,keyid=…$salt$tag` with a salt of 16 and a tag of 32 bytes,
/// and reads every Argon2id hash of version 1.3 in that form, with or without a pepper, whose
/// parameters [`Argon2Settings`] accept. A hash that differs from the current form is outdated.
///
/// The memory of a hash is allocated at first use, reused, and wiped in between; the total is the
/// largest number of concurrent hashes times the memory setting. Only a stored hash of larger
/// parameters takes more, while it is verified.
pub struct Argon2id {
    settings: Argon2Settings,
    peppers: Peppers,
    current: Params,
    dummy_hash: String,
    buffers: Buffers,
}

impl Argon2id {
    /// Hashes at the cost of `settings` and with the newest of `peppers`.
    ///
    /// # Panics
    ///
    /// If the operating system provides no randomness.
    #[must_use]
    pub fn new(settings: Argon2Settings, peppers: Peppers) -> Self {
        #[expect(
            clippy::expect_used,
            reason = "the settings have been checked when they were made"
        )]
        let current = settings.params(peppers.newest()).expect("the settings are parameters");
        #[expect(clippy::expect_used, reason = "the lengths are constants that the format takes")]
        let dummy_hash =
            encode(&current, &random::<[u8; SALT_BYTES]>(), &random::<[u8; TAG_BYTES]>())
                .expect("a dummy hash has the form of any hash");
        let buffers = Buffers::new(current.block_count());
        Self { settings, peppers, current, dummy_hash, buffers }
    }

    /// Parses a stored text and checks that it may be verified.
    fn read(&self, text: &str) -> Result<Stored<'_>, HashError> {
        let unreadable = |_| {
            HashError::unreadable(
                "it is not an Argon2id hash in PHC form; ForeignHashes verifies those of other schemes",
            )
        };
        let hash = PasswordHash::new(text).map_err(unreadable)?;
        let params = Params::try_from(&hash.params)
            .map_err(|_| HashError::unreadable("its parameters are not Argon2's"))?;
        let known = hash.algorithm == ARGON2ID_IDENT
            && hash.version == Some(Version::V0x13.into())
            && params.data().is_empty();
        let (true, Some(salt), Some(tag)) = (known, hash.salt, hash.hash) else {
            return Err(HashError::unreadable("it is not an Argon2id hash of version 1.3"));
        };
        if tag.len() < SHORTEST_TAG_BYTES {
            return Err(HashError::unreadable("its tag is too short"));
        }
        self.settings.check(&params)?;
        let pepper = match params.keyid() {
            [] => None,
            id => Some(self.peppers.secret(id).ok_or_else(|| {
                HashError::missing_pepper(hash.params.get_str("keyid").unwrap_or_default())
            })?),
        };
        Ok(Stored { params, pepper, salt, tag })
    }

    /// Runs the algorithm in a pooled buffer.
    fn compute(
        &self,
        password: &[u8],
        salt: &[u8],
        params: &Params,
        pepper: Option<&[u8]>,
        tag: &mut [u8],
    ) -> Result<(), HashError> {
        let mut memory = self.buffers.borrow(params.block_count());
        Argon2::new_with_secret(
            pepper.unwrap_or_default(),
            Algorithm::Argon2id,
            Version::V0x13,
            params.clone(),
        )
        .and_then(|argon2| argon2.hash_password_into_with_memory(password, salt, tag, &mut *memory))
        .map_err(HashError::failed)
    }
}

/// A parsed stored hash.
struct Stored<'a> {
    params: Params,
    pepper: Option<&'a [u8]>,
    salt: Salt,
    tag: Output,
}

impl PasswordHasher for Argon2id {
    fn hash(&self, password: &[u8]) -> Result<String, HashError> {
        let salt: [u8; SALT_BYTES] = random();
        let mut tag = [0; TAG_BYTES];
        let pepper = self.peppers.secret(self.current.keyid());
        self.compute(password, &salt, &self.current, pepper, &mut tag)?;
        encode(&self.current, &salt, &tag)
    }

    fn verify(&self, password: &[u8], stored: &str) -> Result<Verification, HashError> {
        let stored = self.read(stored)?;
        let mut tag = [0; Output::MAX_LENGTH];
        let tag = &mut tag[..stored.tag.len()];
        self.compute(password, &stored.salt, &stored.params, stored.pepper, tag)?;
        // TIMING: constant-time comparison of all bytes.
        let matches: bool = subtle::ConstantTimeEq::ct_eq(&*tag, stored.tag.as_bytes()).into();
        let current = stored.params == self.current
            && stored.salt.len() == SALT_BYTES
            && stored.tag.len() == TAG_BYTES;
        Ok(match (matches, current) {
            (true, true) => Verification::Matches,
            (true, false) => Verification::MatchesOutdated,
            (false, _) => Verification::Differs,
        })
    }

    fn check(&self, stored: &str) -> Result<(), HashError> {
        self.read(stored).map(|_| ())
    }

    fn dummy_hash(&self) -> &str {
        &self.dummy_hash
    }
}

impl fmt::Debug for Argon2id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Argon2id")
            .field("settings", &self.settings)
            .field("peppers", &self.peppers)
            .finish_non_exhaustive()
    }
}

/// Encodes a hash in PHC form.
fn encode(params: &Params, salt: &[u8], tag: &[u8]) -> Result<String, HashError> {
    let hash = PasswordHash {
        algorithm: ARGON2ID_IDENT,
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(params).map_err(HashError::failed)?,
        salt: Some(Salt::new(salt).map_err(HashError::failed)?),
        hash: Some(Output::new(tag).map_err(HashError::failed)?),
    };
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests;
