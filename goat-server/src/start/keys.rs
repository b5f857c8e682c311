//! Token keys and password peppers: configured, stored in the data directory, or generated there.

use std::sync::Arc;

use goat_core::password::{
    Argon2Settings, Argon2id, ForeignHashes, PasswordHasher, PepperId, Peppers,
};
use goat_core::store::{UserStore, sampled_hashes};
use goat_core::token::TokenKeys;
use goat_core::{Secret, StoreError};

use crate::failure::Failure;
use crate::start::settings::table::ARGON2_MOST;
use crate::start::settings::{MailSettings, PasswordSettings, SigningKeys};
use crate::start::{DataDir, SecretFile, StoredSecret, random_bytes};

/// The source of a key or pepper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// The settings.
    Configured,
    /// The data directory, from an earlier start.
    Stored,
    /// Generated into the data directory by this start.
    Generated,
}

impl From<&StoredSecret> for KeySource {
    fn from(kept: &StoredSecret) -> Self {
        if kept.is_new { Self::Generated } else { Self::Stored }
    }
}

/// The password hasher, and the source of its pepper.
#[derive(Clone, Debug)]
pub struct Hashing {
    /// The hasher: Argon2id, and the hashes of other systems until their users sign in.
    pub hasher: Arc<dyn PasswordHasher>,
    /// The source of its pepper.
    pub pepper: KeySource,
}

/// Returns the keys that sign and verify tokens.
///
/// # Errors
///
/// If a key is malformed or too weak, or the data directory cannot be used.
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

/// Parses the token key of the data directory.
pub(crate) fn stored_token_key(pem: &Secret<String>, data: &DataDir) -> Result<TokenKeys, Failure> {
    TokenKeys::eddsa(std::slice::from_ref(pem)).map_err(|error| {
        let path = data.path_of(SecretFile::TokenKey).display().to_string();
        prefixed(&path, &Failure::from(error)).with_advice(
            "restore it from a backup, or remove it to generate a new one, which ends all sessions",
        )
    })
}

/// Returns the keys under which codes in messages are stored, the first for new ones; none if there is no
/// mail. A key that is not set is generated into the data directory: unlike a lost pepper, a lost one costs
/// no more than the codes that are on their way.
///
/// # Errors
///
/// If the data directory cannot be used.
pub fn server_keys(
    settings: &MailSettings,
    data: &DataDir,
) -> Result<Vec<Secret<Vec<u8>>>, Failure> {
    match (&settings.server_keys, &settings.delivery) {
        (Some(keys), _) => Ok(keys.clone()),
        (None, None) => Ok(Vec::new()),
        (None, Some(_)) => {
            let kept = data.read_or_create(SecretFile::ServerKey, generate_secret)?;
            Ok(vec![secret_bytes(&kept.value)])
        }
    }
}

/// Returns the password hasher. `hashes` is a sample of the stored hashes: a pepper is generated
/// only if none of them needs one, since a new pepper would make every stored password wrong (P5).
///
/// # Errors
///
/// If a stored hash needs a pepper that is missing, or a pepper is malformed.
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
            let kept = data.read_or_create(SecretFile::Pepper, generate_secret)?;
            (vec![secret_bytes(&kept.value)], KeySource::from(&kept))
        }
    };
    let hasher = hasher(settings, peppers, source, data)?;
    check_hashes(&*hasher, source, data, hashes)?;
    Ok(Hashing { hasher, pepper: source })
}

/// Returns the password hasher of a command, which generates no pepper.
///
/// # Errors
///
/// As [`password_hasher`]; and if there is no pepper.
pub(crate) fn existing_hasher(
    settings: &PasswordSettings,
    data: &DataDir,
    hashes: &[String],
) -> Result<Hashing, Failure> {
    if settings.peppers.is_none() && data.read(SecretFile::Pepper)?.is_none() {
        refuse_without_pepper(data, hashes)?;
        let path = data.path_of(SecretFile::Pepper);
        return Err(Failure::configuration(format!(
            "{} is missing: start the server once, which generates the pepper, or set \
             GOAT_PASSWORD_PEPPER",
            path.display()
        )));
    }
    password_hasher(settings, data, hashes)
}

/// Returns a hasher with the configured cost and these peppers. It verifies hashes of any cost that
/// the settings allow, so that the cost can be lowered again (P6).
pub(crate) fn hasher(
    settings: &PasswordSettings,
    peppers: Vec<Secret<Vec<u8>>>,
    source: KeySource,
    data: &DataDir,
) -> Result<Arc<dyn PasswordHasher>, Failure> {
    let peppers = Peppers::new(peppers)
        .map_err(|error| prefixed(&pepper_location(source, data), &Failure::from(error)))?;
    let own = Argon2id::new(cost(settings)?, peppers);
    Ok(Arc::new(ForeignHashes::new(Arc::new(own))))
}

/// Returns the cost of new hashes, and the maximum cost of stored ones.
pub(crate) fn cost(settings: &PasswordSettings) -> Result<Argon2Settings, Failure> {
    let (memory, passes, lanes) = ARGON2_MOST;
    let cost = Argon2Settings::new(
        settings.argon2_memory,
        settings.argon2_iterations,
        settings.argon2_parallelism,
    )?;
    Ok(cost.accepting(&Argon2Settings::new(memory, passes, lanes)?))
}

/// Converts the file's text to a pepper or key unchanged, so that the file can later be configured as
/// `GOAT_PASSWORD_PEPPER_FILE` or `GOAT_SERVER_KEY_FILE`.
pub(crate) fn secret_bytes(text: &Secret<String>) -> Secret<Vec<u8>> {
    Secret::new(text.expose().as_bytes().to_vec())
}

/// Fails if a stored hash needs a pepper while there is none.
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

/// Returns a sample of the stored passwords, which includes hashes by goat if there are any.
pub(crate) async fn stored_hashes(users: &dyn UserStore) -> Result<Vec<String>, StoreError> {
    sampled_hashes(users, |hash| hash.starts_with("$argon2id$")).await
}

/// Fails if a stored hash was made with a pepper that is not configured; returns how many hashes
/// match. A stored value that is not a hash needs no pepper and affects no other user's sign-in.
pub(crate) fn check_hashes(
    hasher: &dyn PasswordHasher,
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
        return Err(prefixed(&pepper_location(source, data), &failure).with_advice(advice));
    }
    Ok(fitting)
}

/// Returns the operator's name for the pepper's location.
fn pepper_location(source: KeySource, data: &DataDir) -> String {
    match source {
        KeySource::Configured => "GOAT_PASSWORD_PEPPER".to_owned(),
        _ => data.path_of(SecretFile::Pepper).display().to_string(),
    }
}

/// Returns a configuration failure prefixed by the name of its setting or file.
fn prefixed(place: &str, failure: &Failure) -> Failure {
    Failure::configuration(format!("{place}: {failure}"))
}

/// Generates 256 random bits, as text.
fn generate_secret() -> Secret<String> {
    let noise = random_bytes(32);
    Secret::new(noise.expose().iter().map(|byte| format!("{byte:02x}")).collect())
}
