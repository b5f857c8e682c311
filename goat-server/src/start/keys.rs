//! What signs and what hashes: given in the settings, kept in the data directory, or made there.

use std::sync::Arc;

use goat_core::password::{Argon2Settings, Argon2id, PasswordHasher as _, PepperId, Peppers};
use goat_core::token::TokenKeys;
use goat_core::user::{UserStore, sampled_hashes};
use goat_core::{Secret, StoreError};

use crate::failure::Failure;
use crate::start::settings::table::ARGON2_MOST;
use crate::start::settings::{PasswordSettings, SigningKeys};
use crate::start::{DataDir, SecretFile, StoredSecret, random_bytes};

/// Where a key or pepper comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// The settings.
    Configured,
    /// The data directory, from an earlier start.
    Stored,
    /// It has just been made into the data directory.
    Generated,
}

impl From<&StoredSecret> for KeySource {
    fn from(kept: &StoredSecret) -> Self {
        if kept.is_new { Self::Generated } else { Self::Stored }
    }
}

/// What hashes passwords, and where its pepper comes from.
#[derive(Clone, Debug)]
pub struct Hashing {
    /// The hasher.
    pub hasher: Arc<Argon2id>,
    /// Its pepper.
    pub pepper: KeySource,
}

/// The keys that sign and verify tokens.
///
/// # Errors
///
/// If one is not what it must be, or the data directory cannot be used.
pub fn token_keys(keys: &SigningKeys, data: &DataDir) -> Result<(TokenKeys, KeySource), Failure> {
    let named = |variable: &'static str| {
        move |error: goat_core::Error| prefixed(variable, &Failure::from(error))
    };
    match keys {
        SigningKeys::Hs256(secrets) => {
            let keys = TokenKeys::hs256(secrets.clone()).map_err(named("GOAT_JWT_SECRET"))?;
            Ok((keys, KeySource::Configured))
        }
        SigningKeys::EdDsa(pems) => {
            let keys = TokenKeys::eddsa(pems).map_err(named("GOAT_JWT_PRIVATE_KEY"))?;
            Ok((keys, KeySource::Configured))
        }
        SigningKeys::Generated => {
            let kept = data.read_or_create(SecretFile::TokenKey, TokenKeys::generate_pem)?;
            Ok((stored_token_key(&kept.value, data)?, KeySource::from(&kept)))
        }
    }
}

/// The token key of the data directory.
pub(crate) fn stored_token_key(pem: &Secret<String>, data: &DataDir) -> Result<TokenKeys, Failure> {
    TokenKeys::eddsa(std::slice::from_ref(pem)).map_err(|error| {
        let path = data.path_of(SecretFile::TokenKey).display().to_string();
        prefixed(&path, &Failure::from(error)).with_advice(
            "restore it from a backup, or remove it to generate a new one, which ends all sessions",
        )
    })
}

/// What hashes passwords. `hashes` are some of those that are stored: a pepper is made only where
/// none of them needs one, since a new one would turn every sign-in into a wrong password (P5).
///
/// # Errors
///
/// If a stored hash needs a pepper that is not there, or a pepper is not what it must be.
pub fn password_hasher(
    settings: &PasswordSettings,
    data: &DataDir,
    hashes: &[String],
) -> Result<Hashing, Failure> {
    let (peppers, source) = match &settings.peppers {
        Some(peppers) => (peppers.clone(), KeySource::Configured),
        None => {
            if data.read(SecretFile::Pepper)?.is_none() {
                refuse_without_pepper(data, hashes)?;
            }
            let kept = data.read_or_create(SecretFile::Pepper, generate_pepper)?;
            (vec![pepper_bytes(&kept.value)], KeySource::from(&kept))
        }
    };
    let hasher = hasher(settings, peppers, source, data)?;
    check_hashes(&hasher, source, data, hashes)?;
    Ok(Hashing { hasher: Arc::new(hasher), pepper: source })
}

/// A hasher at the settings' cost with these peppers. It verifies hashes of any cost that the
/// settings may ever have asked for, so that they may be lowered again (P6).
pub(crate) fn hasher(
    settings: &PasswordSettings,
    peppers: Vec<Secret<Vec<u8>>>,
    source: KeySource,
    data: &DataDir,
) -> Result<Argon2id, Failure> {
    let peppers = Peppers::new(peppers)
        .map_err(|error| prefixed(&pepper_place(source, data), &Failure::from(error)))?;
    Ok(Argon2id::new(cost(settings)?, peppers))
}

/// What a hash costs, and may have cost.
pub(super) fn cost(settings: &PasswordSettings) -> Result<Argon2Settings, Failure> {
    let (memory, passes, lanes) = ARGON2_MOST;
    let cost = Argon2Settings::new(
        settings.argon2_memory,
        settings.argon2_iterations,
        settings.argon2_parallelism,
    )?;
    Ok(cost.accepting(&Argon2Settings::new(memory, passes, lanes)?))
}

/// The pepper is the text of the file as it is, so that the file may be given as
/// `GOAT_PASSWORD_PEPPER_FILE` later.
pub(crate) fn pepper_bytes(text: &Secret<String>) -> Secret<Vec<u8>> {
    Secret::new(text.expose().as_bytes().to_vec())
}

/// Refuses if a stored hash needs a pepper, none being there.
pub(crate) fn refuse_without_pepper(data: &DataDir, hashes: &[String]) -> Result<(), Failure> {
    if hashes.iter().all(|hash| PepperId::of(hash).is_none()) {
        return Ok(());
    }
    let path = data.path_of(SecretFile::Pepper);
    Err(Failure::configuration(format!(
        "{} is missing, and the stored passwords cannot be verified without it: restore it from a \
         backup, or set GOAT_PASSWORD_PEPPER",
        path.display()
    )))
}

/// Some of the stored passwords, with hashes of goat's own among them if there are any.
pub(crate) async fn stored_hashes(users: &dyn UserStore) -> Result<Vec<String>, StoreError> {
    sampled_hashes(users, |hash| hash.starts_with("$argon2id$")).await
}

/// Refuses peppers that stored hashes were not made with. Answers how many fit; what is stored in a
/// password's place and is no hash at all needs no pepper, and hinders nobody else's sign-in.
pub(crate) fn check_hashes(
    hasher: &Argon2id,
    source: KeySource,
    data: &DataDir,
    hashes: &[String],
) -> Result<usize, Failure> {
    let mut fitting = 0;
    for hash in hashes {
        let error = match hasher.check(hash) {
            Ok(()) => {
                fitting += 1;
                continue;
            }
            Err(error) if error.is_unreadable() => continue,
            Err(error) => error,
        };
        let is_missing_pepper = error.is_missing_pepper();
        let failure = Failure::from(goat_core::Error::from(error));
        if !is_missing_pepper {
            return Err(failure);
        }
        let advice = match source {
            KeySource::Configured if data.path_of(SecretFile::Pepper).exists() => {
                "append it to the list; the file pepper in the data directory may contain it"
            }
            KeySource::Configured => "append it to the list",
            _ => {
                "the file does not contain the pepper of the stored passwords; if another node \
                 generated it, set the same GOAT_PASSWORD_PEPPER on all nodes"
            }
        };
        return Err(prefixed(&pepper_place(source, data), &failure).with_advice(advice));
    }
    Ok(fitting)
}

/// Where the operator finds the pepper.
fn pepper_place(source: KeySource, data: &DataDir) -> String {
    match source {
        KeySource::Configured => "GOAT_PASSWORD_PEPPER".to_owned(),
        _ => data.path_of(SecretFile::Pepper).display().to_string(),
    }
}

/// The failure of a configuration, after the name of what is wrong.
fn prefixed(place: &str, failure: &Failure) -> Failure {
    Failure::configuration(format!("{place}: {failure}"))
}

/// 256 bits, as text.
fn generate_pepper() -> Secret<String> {
    let noise = random_bytes(32);
    Secret::new(noise.expose().iter().map(|byte| format!("{byte:02x}")).collect())
}
