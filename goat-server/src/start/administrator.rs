//! The first administrator: made on a start that finds none, so that somebody can sign in.
//!
//! Invariant: a generated password is on the disk before the user is there, and the next start
//! takes it from there, so that no moment at which a start is killed leaves an administrator whose
//! password nobody knows.

use goat_core::user::NewUser;
use goat_core::{Actor, Email, ErrorKind, Goat, Role, Secret, Status, User};

use crate::failure::Failure;
use crate::start::settings::{AccountSettings, PasswordSettings};

use super::{DataDir, SecretFile, random_bytes};

/// Letters and digits that no typeface makes look alike. A power of two, so that each is as likely
/// as the others.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Five characters a group: as many as one types without looking up.
const GROUP: usize = 5;

/// Five groups: 125 bits.
const GROUPS: usize = 5;

/// Whether there was an administrator.
#[derive(Clone, Debug)]
pub enum Administrator {
    /// There was one.
    Existing,
    /// One was made, with the password that was given.
    Created,
    /// One was made, with a password that is kept in the data directory.
    CreatedWithGeneratedPassword(Secret<String>),
}

/// Makes the first administrator, if there is none. Of several starts at once, one does.
///
/// # Errors
///
/// If the address is none, or is somebody's who is not an administrator; if the password is against
/// the policy; if the data directory cannot be written to; or if a store does not answer.
pub async fn first_administrator(
    goat: &Goat,
    accounts: &AccountSettings,
    passwords: &PasswordSettings,
    data: &DataDir,
) -> Result<Administrator, Failure> {
    if goat.users().has_administrator().await? {
        return Ok(Administrator::Existing);
    }
    let top = goat.roles().names().pop().ok_or_else(|| Failure::new("the role set is empty"))?;
    let email = Email::parse(&accounts.admin_email).map_err(|error| {
        Failure::configuration(format!("GOAT_ADMIN_EMAIL: the address {error}"))
    })?;
    if let Some(owner) = goat.users().find_by_email(&email).await? {
        return taken(&owner, &top);
    }
    let (password, source, made) = match &accounts.admin_password {
        Some(password) => {
            (password.clone(), "GOAT_ADMIN_PASSWORD".to_owned(), Administrator::Created)
        }
        None => {
            // ATOMIC: on the disk first; see the invariant above.
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
        // Another start was quicker, or somebody signed up under the address just now.
        Err(error) if error.kind() == ErrorKind::EmailTaken => {
            match goat.users().find_by_email(&email).await? {
                Some(owner) => taken(&owner, &top),
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

/// What it means that the address has an owner.
fn taken(owner: &User, top: &Role) -> Result<Administrator, Failure> {
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

/// A password that is easy to copy and hard to guess, as long as the policy asks for.
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
