//! The administrator of the settings: created on the first start, so that an operator can sign in.
//!
//! Invariant: a generated password is on the disk before the user exists, and the next start reads
//! it from there, so that a start that is killed at any moment leaves no administrator with an
//! unknown password.

use goat_core::{Goat, Secret};

use crate::failure::Failure;
use crate::start::settings::{AccountSettings, PasswordSettings};

use super::first_administrator::first_administrator_with;
use super::{DataDir, FirstAdministrator, FirstAdministratorError, SecretFile, random_bytes};

/// Letters and digits without lookalikes. 32 of them, a power of two, so that each is equally
/// likely.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Characters per group, for easy typing.
const GROUP: usize = 5;

/// Number of groups: 125 bits in total.
const GROUPS: usize = 5;

/// The message of a start in production that finds no administrator and no password for one.
pub(crate) const NO_ADMIN_PASSWORD: &str = "GOAT_ADMIN_PASSWORD: is not set, but production requires it \
    while there is no administrator";

/// How a start found or created the administrator.
#[derive(Clone, Debug)]
pub(crate) enum Administrator {
    /// An administrator already existed.
    Existing,
    /// Created with the configured password.
    Created,
    /// Created with a generated password, which is stored in the data directory.
    CreatedWithGeneratedPassword(Secret<String>),
}

/// Creates the administrator of the settings if there is none. If several nodes start at once, one of them
/// does.
///
/// # Errors
///
/// If the address is malformed, or belongs to another user than an administrator; if the password
/// violates the policy, or is missing in production; if the data directory is not writable; or if a store is unavailable.
pub(crate) async fn ensure_administrator(
    goat: &Goat,
    accounts: &AccountSettings,
    passwords: &PasswordSettings,
    data: &DataDir,
) -> Result<Administrator, Failure> {
    let mut source = "GOAT_ADMIN_PASSWORD".to_owned();
    let mut generated = None;
    let password = || match &accounts.admin_password {
        Some(password) => Ok(password.clone()),
        None if !accounts.generates_admin_password => {
            Err(Refusal::Configuration(Failure::configuration(NO_ADMIN_PASSWORD)))
        }
        None => {
            // ATOMIC: the file before the user; see the invariant above.
            let kept = data
                .read_or_create(SecretFile::AdminPassword, || generate_password(passwords))
                .map_err(Refusal::Configuration)?
                .value;
            source = data.path_of(SecretFile::AdminPassword).display().to_string();
            generated = Some(kept.clone());
            Ok(kept)
        }
    };
    let first = first_administrator_with(goat, &accounts.admin_email, password).await;
    match first.map_err(|refusal| refusal.into_failure(&source))? {
        FirstAdministrator::Existing => Ok(Administrator::Existing),
        FirstAdministrator::Created => {
            Ok(generated
                .map_or(Administrator::Created, Administrator::CreatedWithGeneratedPassword))
        }
    }
}

/// Why a start has no administrator.
enum Refusal {
    Rule(FirstAdministratorError),
    Configuration(Failure),
}

impl From<FirstAdministratorError> for Refusal {
    fn from(error: FirstAdministratorError) -> Self {
        Self::Rule(error)
    }
}

impl Refusal {
    /// Names the settings, and the source of the password.
    fn into_failure(self, source: &str) -> Failure {
        let error = match self {
            Self::Configuration(failure) => return failure,
            Self::Rule(error) => error,
        };
        match error {
            FirstAdministratorError::Store(error) => error.into(),
            FirstAdministratorError::InvalidPassword(_) => {
                Failure::configuration(format!("{source}: {error}"))
            }
            FirstAdministratorError::InvalidEmail(_) => {
                Failure::configuration(format!("GOAT_ADMIN_EMAIL: {error}"))
            }
            FirstAdministratorError::NotAnAdministrator => Failure::configuration(format!(
                "GOAT_ADMIN_EMAIL: {error}; set another address, or make this user an administrator with \
                 goat-server user set-role"
            )),
            FirstAdministratorError::NotActive => Failure::configuration(format!(
                "GOAT_ADMIN_EMAIL: {error}; activate this one with goat-server user set-status"
            )),
        }
    }
}

/// Generates a password that is easy to copy, hard to guess, and long enough for the policy.
fn generate_password(policy: &PasswordSettings) -> Secret<String> {
    let groups = GROUPS.max(policy.min_length.div_ceil(GROUP));
    let noise = random_bytes(groups * GROUP);
    let mut text = String::with_capacity(groups * (GROUP + 1));
    for (index, byte) in noise.expose().iter().enumerate() {
        if index > 0 && index % GROUP == 0 {
            text.push('-');
        }
        text.push(char::from(ALPHABET[usize::from(byte % 32)]));
    }
    text.truncate(policy.max_length);
    Secret::new(text)
}

#[cfg(test)]
mod tests;
