//! The first administrator: created on the first start, so that an operator can sign in.
//!
//! Invariant: a generated password is on the disk before the user exists, and the next start reads
//! it from there, so that a start that is killed at any moment leaves no administrator with an
//! unknown password.

use goat_core::user::NewUser;
use goat_core::{Actor, Email, ErrorKind, Goat, Role, Secret, Status, User};

use crate::failure::Failure;
use crate::start::settings::{AccountSettings, PasswordSettings};

use super::{DataDir, SecretFile, random_bytes};

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
pub enum Administrator {
    /// An administrator already existed.
    Existing,
    /// Created with the configured password.
    Created,
    /// Created with a generated password, which is stored in the data directory.
    CreatedWithGeneratedPassword(Secret<String>),
}

/// Creates the first administrator if there is none. If several nodes start at once, one of them
/// does.
///
/// # Errors
///
/// If the address is malformed, or belongs to another user than an administrator; if the password
/// violates the policy, or is missing in production; if the data directory is not writable; or if a store is unavailable.
pub async fn first_administrator(
    goat: &Goat,
    accounts: &AccountSettings,
    passwords: &PasswordSettings,
    data: &DataDir,
) -> Result<Administrator, Failure> {
    if goat.users().has_administrator().await? {
        return Ok(Administrator::Existing);
    }
    let top = goat.roles().highest();
    let email = Email::parse(&accounts.admin_email).map_err(|error| {
        Failure::configuration(format!("GOAT_ADMIN_EMAIL: the address {error}"))
    })?;
    if let Some(owner) = goat.users().find_by_email(&email).await? {
        return existing_owner(&owner, &top);
    }
    let (password, source, made) = match &accounts.admin_password {
        Some(password) => {
            (password.clone(), "GOAT_ADMIN_PASSWORD".to_owned(), Administrator::Created)
        }
        None if !accounts.generates_admin_password => {
            return Err(Failure::configuration(NO_ADMIN_PASSWORD));
        }
        None => {
            // ATOMIC: the file before the user; see the invariant above.
            let kept = data
                .read_or_create(SecretFile::AdminPassword, || generate_password(passwords))?
                .value;
            let path = data.path_of(SecretFile::AdminPassword).display().to_string();
            (kept.clone(), path, Administrator::CreatedWithGeneratedPassword(kept))
        }
    };
    let new = NewUser { email: email.clone(), password, role: top.clone(), status: Status::Active };
    match goat.users().create(Actor::system("first start"), new).await {
        Ok(_) => Ok(made),
        // Another start was faster, or a user just signed up under the address.
        Err(error) if error.kind() == ErrorKind::EmailTaken => {
            match goat.users().find_by_email(&email).await? {
                Some(owner) => existing_owner(&owner, &top),
                None => Err(error.into()),
            }
        }
        Err(error) if error.kind() == ErrorKind::Invalid => {
            let faults: Vec<&str> =
                error.violations().iter().map(|violation| &*violation.message).collect();
            Err(Failure::configuration(format!("{source}: the password {}", faults.join("; it "))))
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns the outcome if the address already has an owner.
fn existing_owner(owner: &User, top: &Role) -> Result<Administrator, Failure> {
    if owner.role != *top {
        return Err(Failure::configuration(
            "GOAT_ADMIN_EMAIL: the address belongs to a user who is not an administrator, and no \
             administrator exists; set another address, or make this user an administrator with \
             goat-server user set-role",
        ));
    }
    if owner.status != Status::Active {
        return Err(Failure::configuration(
            "GOAT_ADMIN_EMAIL: the address belongs to an administrator who is not active, and no \
             active one exists; activate this one with goat-server user set-status",
        ));
    }
    Ok(Administrator::Existing)
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
