//! The first administrator of a goat, created at a start.

use std::error::Error as StdError;
use std::fmt;

use goat_core::user::{InvalidEmail, NewUser};
use goat_core::{Actor, Email, Error, ErrorKind, Goat, Role, Secret, Status, User, Violation};

/// How the first administrator was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FirstAdministrator {
    /// An administrator already existed. It may have another address.
    Existing,
    /// Created with the given address and password.
    Created,
}

/// Why there is no first administrator. No variant shows the address or the password.
#[derive(Debug)]
#[non_exhaustive]
pub enum FirstAdministratorError {
    /// The text is not an e-mail address.
    InvalidEmail(InvalidEmail),
    /// The address belongs to a user of another role than the highest one.
    NotAnAdministrator,
    /// The address belongs to an administrator who is not active.
    NotActive,
    /// The password violates the password policy.
    InvalidPassword(Vec<Violation>),
    /// A store failed.
    Store(Error),
}

impl fmt::Display for FirstAdministratorError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidEmail(error) => write!(formatter, "the address {error}"),
            Self::NotAnAdministrator => formatter.write_str(
                "the address belongs to a user who is not an administrator, and no administrator exists",
            ),
            Self::NotActive => formatter.write_str(
                "the address belongs to an administrator who is not active, and no active one exists",
            ),
            Self::InvalidPassword(violations) => {
                let faults: Vec<&str> =
                    violations.iter().map(|violation| &*violation.message).collect();
                write!(formatter, "the password {}", faults.join("; it "))
            }
            Self::Store(_) => formatter.write_str("failed to create the first administrator"),
        }
    }
}

impl StdError for FirstAdministratorError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

impl From<Error> for FirstAdministratorError {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// Creates an active user of the highest role if the goat has no administrator: an active user of the
/// highest role, which holds `full_access`. Call it at each start; if several nodes start at once with the same
/// address, one of them creates the user. The server does the same with `GOAT_ADMIN_EMAIL` and
/// `GOAT_ADMIN_PASSWORD`.
///
/// With [`stored_roles`](goat_core::Builder::stored_roles), call
/// [`Goat::prepare`](goat_core::Goat::prepare) first: before it, the highest role is that of the code.
///
/// The address and the password are used only if there is no administrator, so that a later call neither changes
/// nor restores an account.
///
/// ```
/// use goat_core::{Goat, Stores, token::TokenKeys};
/// use goat_server::{FirstAdministrator, first_administrator};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let goat = Goat::builder(Stores::memory(), TokenKeys::generate()).build()?;
/// let (email, password) = ("ann@example.org", "a long walk on a short pier");
/// let first = first_administrator(&goat, email, password).await?;
/// assert_eq!(first, FirstAdministrator::Created);
/// let again = first_administrator(&goat, email, password).await?;
/// assert_eq!(again, FirstAdministrator::Existing);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// See [`FirstAdministratorError`].
pub async fn first_administrator(
    goat: &Goat,
    email: &str,
    password: impl Into<Secret<String>> + Send,
) -> Result<FirstAdministrator, FirstAdministratorError> {
    first_administrator_with(goat, email, || Ok(password.into())).await
}

/// As [`first_administrator`], with a password that is made only if it is needed.
pub(super) async fn first_administrator_with<E: From<FirstAdministratorError>>(
    goat: &Goat,
    email: &str,
    password: impl FnOnce() -> Result<Secret<String>, E> + Send,
) -> Result<FirstAdministrator, E> {
    let failed = |error: Error| E::from(error.into());
    if goat.users().has_administrator().await.map_err(failed)? {
        return Ok(FirstAdministrator::Existing);
    }
    let role = goat.roles().highest();
    let email = Email::parse(email)
        .and_then(Email::of_person)
        .map_err(FirstAdministratorError::InvalidEmail)?;
    if let Some(owner) = goat.users().find_by_email(&email).await.map_err(failed)? {
        return Ok(existing(&owner, &role)?);
    }
    let password = password()?;
    let new = NewUser {
        email: email.clone(),
        password: Some(password),
        role: role.clone(),
        status: Status::Active,
    };
    match goat.users().create(Actor::system("first start"), new).await {
        Ok(_) => Ok(FirstAdministrator::Created),
        // Another start was faster, or a user just signed up under the address.
        Err(error) if error.kind() == ErrorKind::EmailTaken => {
            match goat.users().find_by_email(&email).await.map_err(failed)? {
                Some(owner) => Ok(existing(&owner, &role)?),
                None => Err(failed(error)),
            }
        }
        Err(error) if error.kind() == ErrorKind::Invalid => {
            Err(FirstAdministratorError::InvalidPassword(error.violations().to_vec()).into())
        }
        Err(error) => Err(failed(error)),
    }
}

/// Returns the outcome if the address already has an owner.
fn existing(owner: &User, role: &Role) -> Result<FirstAdministrator, FirstAdministratorError> {
    if owner.role != *role {
        return Err(FirstAdministratorError::NotAnAdministrator);
    }
    if owner.status != Status::Active {
        return Err(FirstAdministratorError::NotActive);
    }
    Ok(FirstAdministrator::Existing)
}
