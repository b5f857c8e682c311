//! Hashes of other systems, verified until their users sign in and replaced then.
//!
//! Invariants: a stored text is parsed, and refused if malformed or too costly, before any work. While
//! foreign hashes are in use, every attempt that fails costs the same work.

mod in_use;
mod kdf;
mod parse;

use std::fmt;
use std::sync::Arc;

use self::in_use::InUse;
use self::kdf::Kdf;
use self::parse::ForeignHash;
use super::argon2id::Argon2id;
use super::hasher::{HashError, PasswordHasher, Verification};
use super::pepper::Peppers;
use super::settings::Argon2Settings;

/// Verifies the password hashes of other systems, on top of the hasher for goat's own.
///
/// A foreign hash is outdated by definition, so that a login replaces it by one of the own hasher: a
/// table of users can be adopted with its hashes, and needs no password of any user.
///
/// | scheme | forms | accepted up to |
/// |---|---|---|
/// | bcrypt | `$2a$`, `$2b$`, `$2y$`; Django's `bcrypt$` and `bcrypt_sha256$` | cost 15 |
/// | PBKDF2 with HMAC-SHA-1, -SHA-256 or -SHA-512 | PHC, passlib's `$pbkdf2-sha256$29000$…`, Django's `pbkdf2_sha256$` and `pbkdf2_sha1$` | 2,097,152 rounds |
/// | scrypt | PHC (`$scrypt$ln=17,r=8,p=1$…`), Django's `scrypt$` | 128 MiB (128·N·r bytes), N·r·p of 2,097,152, r of 32, p of 16 |
/// | Argon2i, Argon2d, and Argon2id of version 1.0 | PHC, Django's `argon2$` | 128 MiB, 10 passes, 8 lanes |
///
/// A hash above the bound is refused before any work, like an Argon2id hash above the accepted cost.
/// bcrypt uses the first 72 bytes of a password, as in the system that made the hash; the new hash has
/// no such limit. goat normalizes passwords before it hashes them; a foreign hash of a password in
/// another Unicode normalization form than NFC, or with control characters, does not match.
///
/// # Timing
///
/// An unknown address must cost as much as a known one, whichever scheme the known one has. A scheme is
/// *in use* from the first foreign hash that [`check`](PasswordHasher::check) or
/// [`verify`](PasswordHasher::verify) reads until the process ends; [`Goat::prepare`] checks a sample of
/// the stored hashes. An attempt that fails costs one verification of the own hasher, and for each
/// scheme in use the work of its dearest hash so far: parts that the stored hash did not cost are added.
/// An account with a cheaper hash, one that was rehashed already, and an unknown address are therefore
/// alike. A successful login is not padded.
///
/// The limit of this: if the sample contains no foreign hash, a process does not know of the scheme until
/// the first attempt at an account that has it.
///
/// [`Goat::prepare`]: crate::Goat::prepare
///
/// ```
/// use std::sync::Arc;
/// use goat_core::password::{Argon2Settings, Argon2id, ForeignHashes, PasswordHasher, Peppers, Verification};
///
/// let own = Argon2id::new(Argon2Settings::default(), Peppers::none());
/// let hasher = ForeignHashes::new(Arc::new(own));
///
/// let bcrypt = "$2b$04$UVyD6z76wc/qhZdc7PnMh.eYpVPbHUfBPZIiNostKZcSs2X6tasr6";
/// let verified = hasher.verify(b"a long walk on a short pier", bcrypt)?;
/// assert_eq!(verified, Verification::MatchesOutdated);
/// assert!(hasher.check(&bcrypt.replace("$04$", "$31$")).is_err());
/// # Ok::<(), goat_core::password::HashError>(())
/// ```
pub struct ForeignHashes {
    own: Arc<dyn PasswordHasher>,
    in_use: InUse,
}

impl ForeignHashes {
    /// Verifies foreign hashes and those of `own`, which makes all new ones.
    #[must_use]
    pub fn new(own: Arc<dyn PasswordHasher>) -> Self {
        Self { own, in_use: InUse::default() }
    }

    /// Takes the units of work that foreign schemes have cost since the last call, by scheme.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn take_work(&self) -> std::collections::BTreeMap<&'static str, u64> {
        self.in_use.take_work()
    }

    fn derive(
        &self,
        kdf: Kdf,
        password: &[u8],
        salt: &[u8],
        tag: &mut [u8],
    ) -> Result<(), HashError> {
        #[cfg(any(test, feature = "testing"))]
        self.in_use.count(kdf);
        kdf.derive(password, salt, tag)
    }

    fn matches(&self, hash: &ForeignHash, password: &[u8]) -> Result<bool, HashError> {
        let password = hash.input(password);
        let mut tag = zeroize::Zeroizing::new(vec![0; hash.tag.len()]);
        self.derive(hash.kdf, &password, &hash.salt, &mut tag)?;
        // TIMING: constant-time comparison of all bytes.
        Ok(subtle::ConstantTimeEq::ct_eq(tag.as_slice(), hash.tag.as_slice()).into())
    }

    /// Does the work of the dearest hash of each scheme in use, less the work that was `done`.
    fn pad(&self, password: &[u8], done: Option<Kdf>) -> Result<(), HashError> {
        for dearest in self.in_use.dearest() {
            let done = done.filter(|done| done.scheme() == dearest.scheme()).map_or(0, Kdf::units);
            for kdf in dearest.filler(dearest.units().saturating_sub(done)) {
                self.derive(kdf, password, &kdf::DUMMY_SALT, &mut [0; kdf::DUMMY_TAG_BYTES])?;
            }
        }
        Ok(())
    }
}

/// Over Argon2id with OWASP's parameters and no pepper, which is also the default of a goat.
impl Default for ForeignHashes {
    fn default() -> Self {
        Self::new(Arc::new(Argon2id::new(Argon2Settings::default(), Peppers::none())))
    }
}

impl PasswordHasher for ForeignHashes {
    fn hash(&self, password: &[u8]) -> Result<String, HashError> {
        self.own.hash(password)
    }

    fn verify(&self, password: &[u8], stored: &str) -> Result<Verification, HashError> {
        match self.own.verify(password, stored) {
            Err(error) if error.is_unreadable() => {}
            Ok(Verification::Differs) => {
                // TIMING: also the path of an unknown address, with the dummy hash.
                self.pad(password, None)?;
                return Ok(Verification::Differs);
            }
            verified => return verified,
        }
        let hash = ForeignHash::parse(stored)?;
        self.in_use.note(hash.kdf);
        if self.matches(&hash, password)? {
            return Ok(Verification::MatchesOutdated);
        }
        // TIMING: the work that an unknown address costs besides this scheme.
        let _ = self.own.verify(password, self.own.dummy_hash())?;
        self.pad(password, Some(hash.kdf))?;
        Ok(Verification::Differs)
    }

    fn check(&self, stored: &str) -> Result<(), HashError> {
        match self.own.check(stored) {
            Err(error) if error.is_unreadable() => {}
            checked => return checked,
        }
        let hash = ForeignHash::parse(stored)?;
        self.in_use.note(hash.kdf);
        Ok(())
    }

    fn dummy_hash(&self) -> &str {
        self.own.dummy_hash()
    }
}

impl fmt::Debug for ForeignHashes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ForeignHashes")
            .field("own", &self.own)
            .field("in_use", &self.in_use)
            .finish()
    }
}

#[cfg(test)]
mod tests;
