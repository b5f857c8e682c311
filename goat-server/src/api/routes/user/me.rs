//! The current user's own account.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use goat_core::auth::EmailChange;
use goat_core::{Email, Goat, Secret};
use goat_tower::{Origin, Principal, Problem};
use http::StatusCode;
use utoipa::ToSchema;

use crate::api::extract::{Fields, FromFields, Json, NoQuery, Refused, SessionCookies};
use crate::api::routes::{person_email, split_decisions};
use crate::api::view::{
    Accepted, BodyOrCookies, ChallengeSent, Data, PasswordChanged, PasswordChangedByCookie,
    Profile, User,
};

/// Get the current user
///
/// Returns the account and its permissions.
#[utoipa::path(
    get,
    path = "/api/v1/user",
    operation_id = "profile",
    tag = "Account",
    responses((status = 200, description = "The current user.", body = Data<Profile>)),
)]
pub(crate) async fn profile(me: Principal, _: NoQuery) -> Data<Profile> {
    Data::new(Profile::from(&*me))
}

/// The new e-mail address.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeEmailBody {
    /// The new e-mail address, at most 254 bytes. Surrounding white space is removed.
    #[schema(value_type = String, format = Email, example = "ann@example.org")]
    email: Email,
    /// The current password. May be absent if the user has authenticated recently.
    #[schema(value_type = Option<String>, nullable = false, format = Password)]
    current_password: Option<Secret<String>>,
}

impl FromFields for ChangeEmailBody {
    fn from_fields(fields: &mut Fields) -> Result<Self, Refused> {
        let email = fields.parse("email", person_email);
        let current_password = fields.optional_secret("current_password");
        Ok(Self { email: email?, current_password: current_password? })
    }
}

/// Change the current user's e-mail address
///
/// On a server that sends mail, the address changes once its mailbox answers: by the link of the message, or
/// by its code and `challenge` with `POST /api/v1/auth/change-email/confirm`. The response is the same if
/// another account has the address. The old address is told of the change.
///
/// Sending the present address again succeeds and changes nothing; its upper and lower case may be
/// changed. Needs the current password, or a recent authentication without it. A change counts against the
/// rate limit of sign-up for the client's address, the password against one of the session, and the message
/// against one of the new address.
#[utoipa::path(
    patch,
    path = "/api/v1/user/change-email",
    operation_id = "changeEmail",
    tag = "Account",
    responses(
        (status = 200, description = "The current user, with the new address, on a server that sends no mail or if the address is the present one.", body = Data<User>),
        (status = 202, description = "A message is sent to the new address.", body = Data<ChallengeSent>),
        (status = 401, description = "`step-up-required`: without `current_password`, authenticate again first."),
        (status = 403, description = "`wrong-password`: the current password is wrong."),
        (status = 409, description = "`email-taken`: another account has this e-mail address. Only on a server that sends no mail."),
    ),
)]
pub(crate) async fn change_email(
    State(goat): State<Goat>,
    me: Principal,
    _: NoQuery,
    origin: Origin,
    Json(ChangeEmailBody { email, current_password }): Json<ChangeEmailBody>,
) -> Result<Response, Problem> {
    let changed = goat.users().change_email(&me, email, current_password.as_ref(), &origin).await?;
    let (changed, decisions) = split_decisions(changed);
    Ok(match changed {
        EmailChange::Changed(user) => (decisions, Data::new(User::from(user))).into_response(),
        EmailChange::Sent(sent) => (decisions, Accepted::from(sent)).into_response(),
    })
}

/// The current and the new password.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangePasswordBody {
    /// The current password. Required if the account has one; otherwise the user must have authenticated
    /// recently.
    #[schema(value_type = Option<String>, nullable = false, format = Password)]
    current_password: Option<Secret<String>>,
    /// 15 to 256 characters unless the server is configured otherwise. Common passwords and the
    /// e-mail address are rejected.
    #[schema(value_type = String, format = Password)]
    new_password: Secret<String>,
}

impl FromFields for ChangePasswordBody {
    fn from_fields(fields: &mut Fields) -> Result<Self, Refused> {
        let current_password = fields.optional_secret("current_password");
        let new_password = fields.secret("new_password");
        Ok(Self { current_password: current_password?, new_password: new_password? })
    }
}

/// Change the current user's password
///
/// Ends every other session of the user. API keys stay valid; the response says how many there are. The
/// current session continues with the returned tokens only: its earlier access and refresh tokens no longer
/// work (401 `session-revoked`), and presenting one ends nothing. If the access token is in a cookie, the new
/// tokens are in the two cookies, and the body has the expiries only.
#[utoipa::path(
    patch,
    path = "/api/v1/user/change-password",
    operation_id = "changePassword",
    tag = "Account",
    responses(
        (status = 200, description = "The new tokens of the current session, the number of other sessions that ended, and the number of API keys.", body = Data<BodyOrCookies<PasswordChanged, PasswordChangedByCookie>>),
        (status = 401, description = "`step-up-required`: without `current_password`, authenticate again first."),
        (status = 403, description = "`wrong-password`: the current password is wrong."),
        (status = 409, description = "`password-unchanged`: the new password is the current one."),
    ),
)]
pub(crate) async fn change_password(
    State(goat): State<Goat>,
    me: Principal,
    _: NoQuery,
    origin: Origin,
    cookies: SessionCookies,
    Json(ChangePasswordBody { current_password, new_password }): Json<ChangePasswordBody>,
) -> Result<Response, Problem> {
    let changed = goat
        .users()
        .change_password(&me, current_password.as_ref(), &new_password, &origin)
        .await?;
    let (changed, decisions) = split_decisions(changed);
    let Some(cookies) = cookies.of_principal() else {
        return Ok((decisions, Data::new(PasswordChanged::from(changed))).into_response());
    };
    let expiries = (&changed.tokens).into();
    let (revoked_sessions, keys) = (changed.revoked_sessions, changed.keys);
    let data = PasswordChangedByCookie { expiries, revoked_sessions, keys };
    let mut response = (decisions, Data::new(data)).into_response();
    cookies.put(&changed.tokens, response.headers_mut())?;
    Ok(response)
}

/// Confirmation by password.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeleteSelfBody {
    /// The current password. May be absent if the user has authenticated recently.
    #[schema(value_type = Option<String>, nullable = false, format = Password)]
    current_password: Option<Secret<String>>,
}

impl FromFields for DeleteSelfBody {
    fn from_fields(fields: &mut Fields) -> Result<Self, Refused> {
        Ok(Self { current_password: fields.optional_secret("current_password")? })
    }
}

/// Delete the current user
///
/// Deletes the account permanently and ends all its sessions. Needs the current password, or a recent
/// authentication without it.
#[utoipa::path(
    delete,
    path = "/api/v1/user",
    operation_id = "deleteSelf",
    tag = "Account",
    responses(
        (status = 204, description = "The account is deleted."),
        (status = 401, description = "`step-up-required`: without `current_password`, authenticate again first."),
        (status = 403, description = "`wrong-password`: the current password is wrong."),
        (status = 409, description = "`last-administrator`: no active administrator would be left."),
    ),
)]
pub(crate) async fn delete_self(
    State(goat): State<Goat>,
    me: Principal,
    _: NoQuery,
    Json(DeleteSelfBody { current_password }): Json<DeleteSelfBody>,
) -> Result<impl IntoResponse, Problem> {
    let deleted = goat.users().delete_self(&me, current_password.as_ref()).await?;
    let ((), decisions) = split_decisions(deleted);
    Ok((decisions, StatusCode::NO_CONTENT))
}
