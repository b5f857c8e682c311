//! The handlers, a file a resource: each reads its input, makes one call of goat, and shows the
//! outcome. Rules live in goat-core; what a route asks of its caller stands in the
//! [route table](crate::api::table).
//!
//! A handler's doc comment is its text in the OpenAPI document.

pub(crate) mod auth;
pub(crate) mod meta;
pub(crate) mod permissions;
pub(crate) mod roles;
pub(crate) mod sessions;
pub(crate) mod user;

use goat_core::limit::Charged;
use goat_core::password::NewPassword;
use goat_core::{Email, Goat, Role, Secret};
use goat_tower::LimitDecisions;

use crate::api::extract::{Fields, Refused};

/// Parts a result from the limits that were charged for it, which go into the response's extensions
/// and from there into its headers.
fn uncharge<T>(charged: Charged<T>) -> (T, LimitDecisions) {
    (charged.value, charged.charges.into())
}

/// The name of a role that the running set has.
fn known_role(goat: &Goat, name: &str) -> Result<Role, String> {
    goat.roles().get(name).ok_or_else(|| goat.roles().must_be_a_role())
}

/// A new password, with all that is wrong with it named beside whatever else is wrong with the body.
/// The service that takes it checks it again, against the account as it is then.
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
