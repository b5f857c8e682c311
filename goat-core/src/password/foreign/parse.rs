//! Parser of foreign hashes: PHC strings, the modular crypt format, and Django's forms.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Params, Version};
use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{NO_PAD, STANDARD, STANDARD_NO_PAD};
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::kdf::{BCRYPT_TAG_BYTES, Digest, Kdf};
use crate::password::hasher::HashError;

/// Above any form's longest text.
const LONGEST: usize = 512;

/// Shorter tags could be matched by chance; longer ones are in no form.
const TAG_BYTES: std::ops::RangeInclusive<usize> = 16..=64;

/// bcrypt's 22 characters of salt have four bits more than its 16 bytes, which some systems set.
const BCRYPT: GeneralPurpose = GeneralPurpose::new(&alphabet::BCRYPT, NO_PAD_WITH_TRAILING_BITS);
const NO_PAD_WITH_TRAILING_BITS: GeneralPurposeConfig =
    NO_PAD.with_decode_allow_trailing_bits(true);

const HEX: &[u8; 16] = b"0123456789abcdef";

/// A parsed foreign hash of an accepted cost.
pub(super) struct ForeignHash {
    pub(super) kdf: Kdf,
    pub(super) salt: Vec<u8>,
    pub(super) tag: Vec<u8>,
    /// Whether the password is the hexadecimal SHA-256 of the user's: Django's way around bcrypt's
    /// limit of 72 bytes.
    is_of_digest: bool,
}

impl ForeignHash {
    /// Parses a stored text.
    pub(super) fn parse(text: &str) -> Result<Self, HashError> {
        if text.len() > LONGEST {
            return Err(malformed());
        }
        let (form, rest) = text.split_once('$').ok_or_else(malformed)?;
        match form {
            "" if rest.starts_with('2') => Self::bcrypt(rest, false),
            "" if rest.starts_with("pbkdf2") && !rest.contains('=') => Self::passlib_pbkdf2(rest),
            "" => Self::phc(text),
            // The rest begins with the dollar sign of the hash itself.
            "argon2" => Self::phc(&text["argon2".len()..]),
            "bcrypt" => Self::bcrypt(rest.strip_prefix('$').ok_or_else(malformed)?, false),
            "bcrypt_sha256" => Self::bcrypt(rest.strip_prefix('$').ok_or_else(malformed)?, true),
            "pbkdf2_sha1" => Self::django_pbkdf2(Digest::Sha1, rest),
            "pbkdf2_sha256" => Self::django_pbkdf2(Digest::Sha256, rest),
            "scrypt" => Self::django_scrypt(rest),
            _ => Err(malformed()),
        }
    }

    /// Returns the bytes that the tag is derived from.
    pub(super) fn input(&self, password: &[u8]) -> Zeroizing<Vec<u8>> {
        if !self.is_of_digest {
            return Zeroizing::new(password.to_vec());
        }
        let digest = Zeroizing::new(<[u8; 32]>::from(Sha256::digest(password)));
        // Enough capacity that the text is never reallocated, which would leave a copy behind.
        let mut text = Zeroizing::new(Vec::with_capacity(2 * digest.len()));
        text.extend(
            digest
                .iter()
                .flat_map(|byte| [byte >> 4, byte & 15])
                .map(|nibble| HEX[usize::from(nibble)]),
        );
        text
    }

    /// `2b$12$` and 53 characters, after the first dollar sign.
    fn bcrypt(rest: &str, is_of_digest: bool) -> Result<Self, HashError> {
        let [version, cost, encoded] = fields(rest)?;
        let is_known = matches!(version, "2a" | "2b" | "2y") && cost.len() == 2;
        if !is_known || encoded.len() != 53 || !encoded.is_ascii() {
            return Err(malformed());
        }
        let (salt, tag) = encoded.split_at(22);
        let (salt, tag) = (decode(&BCRYPT, salt)?, decode(&BCRYPT, tag)?);
        if tag.len() != BCRYPT_TAG_BYTES {
            return Err(malformed());
        }
        let kdf = Kdf::Bcrypt { cost: number(cost)? }.checked()?;
        Ok(Self { kdf, salt, tag, is_of_digest })
    }

    /// `pbkdf2-sha256$29000$salt$tag`, with `.` in place of `+`.
    fn passlib_pbkdf2(rest: &str) -> Result<Self, HashError> {
        let [id, rounds, salt, tag] = fields(rest)?;
        let decoded = |text: &str| decode(&STANDARD_NO_PAD, &text.replace('.', "+"));
        Self::pbkdf2(pbkdf2_digest(id)?, number(rounds)?, decoded(salt)?, decoded(tag)?)
    }

    /// `600000$salt$tag`, the salt as text.
    fn django_pbkdf2(digest: Digest, rest: &str) -> Result<Self, HashError> {
        let [rounds, salt, tag] = fields(rest)?;
        Self::pbkdf2(digest, number(rounds)?, salt.into(), decode(&STANDARD, tag)?)
    }

    /// `16384$salt$8$1$tag`, the salt as text.
    fn django_scrypt(rest: &str) -> Result<Self, HashError> {
        let [n, salt, r, p, tag] = fields(rest)?;
        let n = number(n)?;
        if !n.is_power_of_two() {
            return Err(malformed());
        }
        Self::scrypt(n.ilog2(), number(r)?, number(p)?, salt.into(), decode(&STANDARD, tag)?)
    }

    fn phc(text: &str) -> Result<Self, HashError> {
        let hash = PasswordHash::new(text).map_err(|_| malformed())?;
        let (Some(salt), Some(tag)) = (hash.salt, hash.hash) else { return Err(malformed()) };
        let (salt, tag) = (salt.to_vec(), tag.as_bytes().to_vec());
        let id = hash.algorithm.as_str();
        if let Ok(algorithm) = Algorithm::new(id) {
            let params = Params::try_from(&hash.params).map_err(|_| malformed())?;
            // Both need a secret that goat does not have.
            if !params.data().is_empty() || !params.keyid().is_empty() {
                return Err(malformed());
            }
            // A hash without a version is of 1.0.
            let version = hash.version.unwrap_or(Version::V0x10.into());
            let kdf = Kdf::Argon2 {
                algorithm,
                version: Version::try_from(version).map_err(|_| malformed())?,
                memory: params.m_cost(),
                passes: params.t_cost(),
                lanes: params.p_cost(),
            };
            return Self { kdf: kdf.checked()?, salt, tag, is_of_digest: false }.with_sound_tag();
        }
        let parameter = |name: &str| hash.params.get_decimal(name).ok_or_else(malformed);
        let are_only =
            |names: &[&str]| hash.params.iter().all(|(name, _)| names.contains(&name.as_str()));
        if hash.version.is_some() {
            return Err(malformed());
        }
        if id == "scrypt" && are_only(&["ln", "r", "p"]) {
            return Self::scrypt(parameter("ln")?, parameter("r")?, parameter("p")?, salt, tag);
        }
        let length =
            hash.params.get_decimal("l").map_or(Some(tag.len()), |length| length.try_into().ok());
        if !are_only(&["i", "l"]) || length != Some(tag.len()) {
            return Err(malformed());
        }
        Self::pbkdf2(pbkdf2_digest(id)?, parameter("i")?, salt, tag)
    }

    fn pbkdf2(digest: Digest, rounds: u32, salt: Vec<u8>, tag: Vec<u8>) -> Result<Self, HashError> {
        let blocks = tag.len().div_ceil(digest.bytes()).try_into().unwrap_or(u32::MAX);
        let kdf = Kdf::Pbkdf2 { digest, rounds, blocks }.checked()?;
        Self { kdf, salt, tag, is_of_digest: false }.with_sound_tag()
    }

    fn scrypt(log_n: u32, r: u32, p: u32, salt: Vec<u8>, tag: Vec<u8>) -> Result<Self, HashError> {
        let log_n = log_n.try_into().map_err(|_| malformed())?;
        let kdf = Kdf::Scrypt { log_n, r, p }.checked()?;
        Self { kdf, salt, tag, is_of_digest: false }.with_sound_tag()
    }

    fn with_sound_tag(self) -> Result<Self, HashError> {
        if TAG_BYTES.contains(&self.tag.len()) { Ok(self) } else { Err(malformed()) }
    }
}

fn malformed() -> HashError {
    HashError::unreadable("it is a hash of no scheme that is verified here")
}

/// Splits a text at its dollar signs into exactly this many fields.
fn fields<const N: usize>(text: &str) -> Result<[&str; N], HashError> {
    let fields: Vec<&str> = text.split('$').collect();
    fields.try_into().map_err(|_| malformed())
}

/// Parses a decimal number without a sign.
fn number(text: &str) -> Result<u32, HashError> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(malformed());
    }
    text.parse().map_err(|_| malformed())
}

fn decode(engine: &GeneralPurpose, text: &str) -> Result<Vec<u8>, HashError> {
    engine.decode(text).map_err(|_| malformed())
}

fn pbkdf2_digest(id: &str) -> Result<Digest, HashError> {
    match id {
        "pbkdf2" | "pbkdf2-sha1" => Ok(Digest::Sha1),
        "pbkdf2-sha256" => Ok(Digest::Sha256),
        "pbkdf2-sha512" => Ok(Digest::Sha512),
        _ => Err(malformed()),
    }
}
