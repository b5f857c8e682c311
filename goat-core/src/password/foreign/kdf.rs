//! Key derivation functions of foreign hashes: their bounds, and their cost in units of work.

use argon2::{Algorithm, Argon2, Params, Version};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use zeroize::Zeroizing;

use crate::password::buffers::Buffers;
use crate::password::hasher::HashError;
use crate::password::settings::Argon2Settings;

/// The costs that bcrypt defines start at 4; 15 takes two seconds on a slow core.
const BCRYPT_COSTS: std::ops::RangeInclusive<u32> = 4..=15;

/// Rounds of PBKDF2 for all blocks of its output: a second or two.
const PBKDF2_ROUNDS: u64 = 1 << 21;

/// N·r·p of scrypt: a second or two.
const SCRYPT_WORK: u64 = 1 << 21;

/// Memory of scrypt in bytes, 128·N·r.
const SCRYPT_MEMORY: u64 = 128 << 20;

/// r and p of scrypt, above any recommendation.
const SCRYPT_SHAPE: (u32, u32) = (32, 16);

/// bcrypt ignores the rest of a password.
const BCRYPT_BYTES: usize = 72;

/// Length of a stored tag of bcrypt: without its last byte.
pub(super) const BCRYPT_TAG_BYTES: usize = 23;

/// Salt of derivations that pad an attempt.
pub(super) const DUMMY_SALT: [u8; 16] = *b"no account's own";

/// Tag of derivations that pad an attempt: one block of any function.
pub(super) const DUMMY_TAG_BYTES: usize = 16;

/// A key derivation function with its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kdf {
    /// Memory in KiB.
    Argon2 { algorithm: Algorithm, version: Version, memory: u32, passes: u32, lanes: u32 },
    /// 2^cost rounds.
    Bcrypt { cost: u32 },
    /// `blocks` is the length of the output in blocks of the digest, each of which takes all rounds.
    Pbkdf2 { digest: Digest, rounds: u32, blocks: u32 },
    /// N is 2^log_n.
    Scrypt { log_n: u8, r: u32, p: u32 },
}

/// Digest of PBKDF2's HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Digest {
    Sha1,
    Sha256,
    Sha512,
}

impl Digest {
    /// Length of a block of PBKDF2's output.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// A scheme: functions with comparable units of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Argon2,
    Bcrypt,
    Pbkdf2(Digest),
    Scrypt,
}

#[cfg(any(test, feature = "testing"))]
impl Scheme {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Argon2 => "argon2",
            Self::Bcrypt => "bcrypt",
            Self::Pbkdf2(Digest::Sha1) => "pbkdf2-sha1",
            Self::Pbkdf2(Digest::Sha256) => "pbkdf2-sha256",
            Self::Pbkdf2(Digest::Sha512) => "pbkdf2-sha512",
            Self::Scrypt => "scrypt",
        }
    }
}

impl Kdf {
    /// Refuses parameters that the function does not define, or above the accepted cost.
    pub(super) fn checked(self) -> Result<Self, HashError> {
        let (is_defined, is_accepted) = match self {
            Self::Argon2 { .. } => {
                let params = self.argon2_params();
                let accepted = params
                    .as_ref()
                    .is_ok_and(|params| Argon2Settings::default().check(params).is_ok());
                (params.is_ok(), accepted)
            }
            Self::Bcrypt { cost } => {
                ((*BCRYPT_COSTS.start()..=31).contains(&cost), BCRYPT_COSTS.contains(&cost))
            }
            Self::Pbkdf2 { rounds, blocks, .. } => {
                (rounds > 0 && blocks > 0, self.units() <= PBKDF2_ROUNDS)
            }
            Self::Scrypt { log_n, r, p } => {
                // RFC 7914 §6: N is less than 2^(128·r / 8).
                let is_defined = log_n > 0 && u32::from(log_n) < r.saturating_mul(16) && p > 0;
                let memory = 128_u64.saturating_mul(power(log_n)).saturating_mul(r.into());
                let is_accepted = memory <= SCRYPT_MEMORY
                    && self.units() <= SCRYPT_WORK
                    && (r <= SCRYPT_SHAPE.0 && p <= SCRYPT_SHAPE.1);
                (is_defined, is_accepted)
            }
        };
        match (is_defined, is_accepted) {
            (false, _) => Err(HashError::unreadable("its parameters are not those of its scheme")),
            (true, false) => Err(HashError::too_costly()),
            (true, true) => Ok(self),
        }
    }

    /// The scheme, within which units of work are comparable.
    pub(super) fn scheme(self) -> Scheme {
        match self {
            Self::Argon2 { .. } => Scheme::Argon2,
            Self::Bcrypt { .. } => Scheme::Bcrypt,
            Self::Pbkdf2 { digest, .. } => Scheme::Pbkdf2(digest),
            Self::Scrypt { .. } => Scheme::Scrypt,
        }
    }

    /// The work: KiB times passes, rounds, or N·r·p.
    pub(super) fn units(self) -> u64 {
        match self {
            Self::Argon2 { memory, passes, .. } => u64::from(memory) * u64::from(passes),
            Self::Bcrypt { cost } => 1_u64.checked_shl(cost).unwrap_or(u64::MAX),
            Self::Pbkdf2 { rounds, blocks, .. } => u64::from(rounds) * u64::from(blocks),
            Self::Scrypt { log_n, r, p } => {
                power(log_n).saturating_mul(r.into()).saturating_mul(p.into())
            }
        }
    }

    /// Returns derivations that cost `units` together, at most as many as this one: exactly for bcrypt
    /// and PBKDF2, else to the smallest piece of work that the function has.
    pub(super) fn filler(self, units: u64) -> Vec<Self> {
        if units == self.units() {
            return vec![self];
        }
        let mut pieces = Vec::new();
        match self {
            Self::Argon2 { algorithm, version, memory, lanes, .. } => {
                let mut push = |memory: u64, passes: u64| {
                    let (memory, passes) = (narrow(memory), narrow(passes));
                    pieces.push(Self::Argon2 { algorithm, version, memory, passes, lanes });
                };
                let (passes, rest) = (units / u64::from(memory), units % u64::from(memory));
                if passes > 0 {
                    push(memory.into(), passes);
                }
                if rest >= u64::from(Params::MIN_M_COST) * u64::from(lanes) {
                    push(rest, 1);
                }
            }
            Self::Bcrypt { .. } => {
                let costs = BCRYPT_COSTS.filter(|cost| units >> cost & 1 == 1);
                pieces.extend(costs.map(|cost| Self::Bcrypt { cost }));
            }
            Self::Pbkdf2 { digest, .. } if units > 0 => {
                pieces.push(Self::Pbkdf2 { digest, rounds: narrow(units), blocks: 1 });
            }
            Self::Pbkdf2 { .. } => {}
            Self::Scrypt { log_n, r, .. } => {
                let (n, units) = (power(log_n), units / u64::from(r));
                if units >= n {
                    pieces.push(Self::Scrypt { log_n, r, p: narrow(units / n) });
                }
                let rest = units % n;
                let logs = (1..log_n).filter(|log_n| rest >> log_n & 1 == 1);
                pieces.extend(logs.map(|log_n| Self::Scrypt { log_n, r, p: 1 }));
            }
        }
        pieces
    }

    /// Derives a tag. The parameters have been checked.
    pub(super) fn derive(
        self,
        password: &[u8],
        salt: &[u8],
        tag: &mut [u8],
    ) -> Result<(), HashError> {
        match self {
            Self::Argon2 { algorithm, version, .. } => {
                let params = self.argon2_params().map_err(HashError::failed)?;
                // Not pooled: only until the hash is replaced. Wiped on drop.
                let buffers = Buffers::new(0);
                let mut memory = buffers.borrow(params.block_count());
                Argon2::new(algorithm, version, params)
                    .hash_password_into_with_memory(password, salt, tag, &mut *memory)
                    .map_err(HashError::failed)
            }
            Self::Bcrypt { cost } => {
                let salt = salt.try_into().map_err(HashError::failed)?;
                let mut text = Zeroizing::new(Vec::with_capacity(password.len() + 1));
                text.extend_from_slice(password);
                text.push(0);
                text.truncate(BCRYPT_BYTES);
                let derived = Zeroizing::new(bcrypt::bcrypt(cost, salt, &text));
                tag.copy_from_slice(&derived[..tag.len()]);
                Ok(())
            }
            Self::Pbkdf2 { digest, rounds, .. } => {
                match digest {
                    Digest::Sha1 => pbkdf2::pbkdf2_hmac::<Sha1>(password, salt, rounds, tag),
                    Digest::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, rounds, tag),
                    Digest::Sha512 => pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, rounds, tag),
                }
                Ok(())
            }
            Self::Scrypt { log_n, r, p } => {
                let params = scrypt::Params::new(log_n, r, p).map_err(HashError::failed)?;
                scrypt::scrypt(password, salt, &params, tag).map_err(HashError::failed)
            }
        }
    }

    fn argon2_params(self) -> Result<Params, argon2::Error> {
        match self {
            Self::Argon2 { memory, passes, lanes, .. } => Params::new(memory, passes, lanes, None),
            _ => Err(argon2::Error::AlgorithmInvalid),
        }
    }
}

/// 2^exponent, or the largest number.
fn power(exponent: u8) -> u64 {
    1_u64.checked_shl(exponent.into()).unwrap_or(u64::MAX)
}

/// Work within the accepted cost fits in 32 bits.
fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
