//! What users do with their own account.

use axum::extract::State;
use axum::response::IntoResponse;
use goat_core::{Email, Goat, Secret};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::extract::{Caller, Fields, FromFields, Json, NoQuery, Refused};
use crate::http::ApiError;
use crate::present::{Data, Profile, User};
use crate::routes::uncharge;

/// Show oneself.
///
/// The caller, and what they may do.
#[utoipa::path(
    get,
    path = "/api/v1/user",
    operation_id = "profile",
    tag = "me",
    responses((status = 200, description = "The caller.", body = Data<Profile>)),
)]
pub(crate) async fn profile(
    State(goat): State<Goat>,
    Caller(caller): Caller,
    _: NoQuery,
) -> Result<Data<Profile>, ApiError> {
    let profile = goat.users().profile(&caller).await?;
    Ok(Data::new(profile.into()))
}

/// Where the caller is to be reached from now on.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeEmailBody {
    /// At most 254 octets; trimmed, and kept as it was given.
    #[schema(value_type = String, format = Email, example = "ann@example.org")]
    email: Email,
    /// The password, as proof.
    #[schema(value_type = String, format = Password)]
    current_password: Secret<String>,
}

impl FromFields for ChangeEmailBody {
    fn from_fields(fields: &mut Fields) -> Result<Self, Refused> {
        let email = fields.parse("email", Email::parse);
        let current_password = fields.secret("current_password");
        Ok(Self { email: email?, current_password: current_password? })
    }
}

/// Change one's own e-mail address.
///
/// The address that one has already is no change, and in another case no conflict.
#[utoipa::path(
    patch,
    path = "/api/v1/user/change-email",
    operation_id = "changeEmail",
    tag = "me",
    responses(
        (status = 200, description = "The caller, under the new address.", body = Data<User>),
        (status = 403, description = "`wrong-password`."),
        (status = 409, description = "`email-taken`."),
    ),
)]
pub(crate) async fn change_email(
    State(goat): State<Goat>,
    Caller(caller): Caller,
    _: NoQuery,
    Json(ChangeEmailBody { email, current_password }): Json<ChangeEmailBody>,
) -> Result<impl IntoResponse, ApiError> {
    let changed = goat.users().change_email(&caller, email, current_password.expose()).await?;
    let (user, charges) = uncharge(changed);
    Ok((charges, Data::new(User::from(user))))
}

/// The password to be, and the one that is.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangePasswordBody {
    /// The password, as proof.
    #[schema(value_type = String, format = Password)]
    current_password: Secret<String>,
    /// 15 to 256 characters unless configured otherwise; not a common one, not the address.
    #[schema(value_type = String, format = Password)]
    new_password: Secret<String>,
}

impl FromFields for ChangePasswordBody {
    fn from_fields(fields: &mut Fields) -> Result<Self, Refused> {
        let current_password = fields.secret("current_password");
        let new_password = fields.secret("new_password");
        Ok(Self { current_password: current_password?, new_password: new_password? })
    }
}

/// How many other sessions have ended with the old password.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) struct PasswordChanged {
    /// How many were alive until now.
    revoked_sessions: u64,
}

/// Change one's own password.
///
/// Every other session ends; this one goes on.
#[utoipa::path(
    patch,
    path = "/api/v1/user/change-password",
    operation_id = "changePassword",
    tag = "me",
    responses(
        (status = 200, description = "The new password is in force.", body = Data<PasswordChanged>),
        (status = 403, description = "`wrong-password`."),
        (status = 409, description = "`password-unchanged`."),
    ),
)]
pub(crate) async fn change_password(
    State(goat): State<Goat>,
    Caller(caller): Caller,
    _: NoQuery,
    Json(ChangePasswordBody { current_password, new_password }): Json<ChangePasswordBody>,
) -> Result<impl IntoResponse, ApiError> {
    let users = goat.users();
    let ended = users.change_password(&caller, current_password.expose(), &new_password).await?;
    let (revoked_sessions, charges) = uncharge(ended);
    Ok((charges, Data::new(PasswordChanged { revoked_sessions })))
}

/// Proof that it is the caller who asks.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeleteSelfBody {
    /// The password.
    #[schema(value_type = String, format = Password)]
    current_password: Secret<String>,
}

impl FromFields for DeleteSelfBody {
    fn from_fields(fields: &mut Fields) -> Result<Self, Refused> {
        Ok(Self { current_password: fields.secret("current_password")? })
    }
}

/// Delete oneself.
///
/// Every session ends.
#[utoipa::path(
    delete,
    path = "/api/v1/user",
    operation_id = "deleteSelf",
    tag = "me",
    responses(
        (status = 204, description = "The account is gone."),
        (status = 403, description = "`wrong-password`."),
        (status = 409, description = "`last-administrator`."),
    ),
)]
pub(crate) async fn delete_self(
    State(goat): State<Goat>,
    Caller(caller): Caller,
    _: NoQuery,
    Json(DeleteSelfBody { current_password }): Json<DeleteSelfBody>,
) -> Result<impl IntoResponse, ApiError> {
    let deleted = goat.users().delete_self(&caller, current_password.expose()).await?;
    let ((), charges) = uncharge(deleted);
    Ok((charges, StatusCode::NO_CONTENT))
}
