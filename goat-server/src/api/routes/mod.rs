//! The handlers, by URL: each reads its input, calls goat once, and returns the result. The rules
//! are in goat-core; required credentials and permissions are in the [route
//! table](crate::api::table).
//!
//! A handler's doc comment becomes its text in the OpenAPI document.

pub(crate) mod auth;
mod document;
pub(crate) mod keys;
pub(crate) mod link;
pub(crate) mod meta;
pub(crate) mod permissions;
pub(crate) mod roles;
pub(crate) mod sessions;
pub(crate) mod user;

use goat_core::limit::WithDecisions;
use goat_core::password::NewPassword;
use goat_core::user::InvalidEmail;
use goat_core::{Email, Goat, Role, Secret};
use goat_tower::LimitDecisions;

use crate::api::extract::{Fields, Refused};

/// Splits a result from the limit decisions made for it, which become response headers.
fn split_decisions<T>(result: WithDecisions<T>) -> (T, LimitDecisions) {
    (result.value, result.decisions.into())
}

/// Returns the role of this name.
fn known_role(goat: &Goat, name: &str) -> Result<Role, String> {
    goat.roles().get(name).ok_or_else(|| goat.roles().must_be_a_role())
}

/// Returns the address of a person: any but those of service accounts.
fn person_email(text: &str) -> Result<Email, InvalidEmail> {
    Email::parse(text).and_then(Email::of_person)
}

/// Checks a new password, and reports its violations with those of the other members. The service
/// checks it again, against the current account.
fn new_password(
    fields: &mut Fields,
    name: &'static str,
    password: Result<Option<Secret<String>>, Refused>,
    email: Option<&Email>,
    goat: &Goat,
) -> Result<Option<Secret<String>>, Refused> {
    let Some(password) = password? else { return Ok(None) };
    let policy = &goat.settings().passwords;
    match NewPassword::parse(password.expose(), policy, email.map(Email::canonical)) {
        Ok(_) => Ok(Some(password)),
        Err(faults) => {
            let refused = faults.into_iter().map(|fault| fields.refuse(name, fault)).last();
            refused.map_or(Ok(Some(password)), Err)
        }
    }
}
