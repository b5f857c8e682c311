//! `POST /api/v1/auth/recover` and `POST /api/v1/auth/recover/confirm`

use axum::extract::State;
use goat_core::auth::MailAnswer;
use goat_core::{Goat, Secret};
use goat_tower::{Origin, Problem};
use serde::Serialize;
use utoipa::ToSchema;

use super::mail_answer::{MailRequestBody, mail_answer};
use crate::api::AppState;
use crate::api::extract::{Fields, FromFieldsWith, Json, NoQuery, Refused};
use crate::api::routes::new_password;
use crate::api::view::{Accepted, ChallengeSent, Data};

/// Request a password reset
///
/// Sends a message with a link and a code to the owner of the address. The response is the same for an address
/// without an account. Set the new password by the link of the message, or by its code and `challenge` with
/// `POST /api/v1/auth/recover/confirm`. Messages count against a limit of their recipient.
#[utoipa::path(
    post,
    path = "/api/v1/auth/recover",
    operation_id = "requestRecovery",
    tag = "Authentication",
    responses((status = 202, description = "A message is sent if the address has an account.", body = Data<ChallengeSent>)),
)]
pub(crate) async fn request(
    State(goat): State<Goat>,
    _: NoQuery,
    origin: Origin,
    Json(MailRequestBody { email }): Json<MailRequestBody>,
) -> Result<Accepted<ChallengeSent>, Problem> {
    Ok(goat.request_recovery(email, &origin).await?.into())
}

/// The answer to the message, and the new password.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfirmRecoveryBody {
    #[schema(ignore)]
    answer: MailAnswer,
    /// 15 to 256 characters unless the server is configured otherwise. Common passwords and the
    /// e-mail address are rejected.
    #[schema(value_type = String, format = Password)]
    new_password: Secret<String>,
    /// A recovery code. Required if the user has a second factor and no password; otherwise ignored.
    #[schema(value_type = Option<String>, nullable = false)]
    recovery_code: Option<Secret<String>>,
}

impl FromFieldsWith<AppState> for ConfirmRecoveryBody {
    fn from_fields_with(fields: &mut Fields, state: &AppState) -> Result<Self, Refused> {
        let answer = mail_answer(fields);
        let password = fields.secret("new_password").map(Some);
        let new_password = new_password(fields, "new_password", password, None, &state.goat);
        let recovery_code = fields.optional_secret("recovery_code");
        let (answer, new_password) = (answer?, new_password?);
        let required = |fields: &mut Fields| fields.refuse("new_password", "is required");
        let new_password = new_password.ok_or_else(|| required(fields))?;
        Ok(Self { answer, new_password, recovery_code: recovery_code? })
    }
}

/// The device token of a recovered account.
#[derive(Serialize, ToSchema)]
pub(crate) struct Recovered {
    /// For the next sign-in: with it, attempts of others on the account do not lock its owner out. Valid for
    /// 180 days; grants nothing.
    device_token: String,
}

/// Reset a forgotten password
///
/// Sets a new password by the answer to the message. It ends every session of the user and starts none; the
/// next sign-in still needs its second factor. The address counts as verified. The first time it does,
/// the API keys of the account are revoked, which another person may have created.
#[utoipa::path(
    post,
    path = "/api/v1/auth/recover/confirm",
    operation_id = "confirmRecovery",
    tag = "Authentication",
    responses(
        (status = 200, description = "The password is set. A device token for the next sign-in.", body = Data<Recovered>),
        (status = 400, description = "`invalid-challenge`: the link or code is wrong, unknown, used or expired, or the recovery code is wrong."),
    ),
)]
pub(crate) async fn confirm(
    State(goat): State<Goat>,
    _: NoQuery,
    origin: Origin,
    Json(body): Json<ConfirmRecoveryBody>,
) -> Result<Data<Recovered>, Problem> {
    let ConfirmRecoveryBody { answer, new_password, recovery_code } = body;
    let recovered = goat.confirm_recovery(&answer, &new_password, recovery_code, &origin).await?;
    Ok(Data::new(Recovered { device_token: recovered.device_token.expose().clone() }))
}
