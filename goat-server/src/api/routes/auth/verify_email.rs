//! `POST /api/v1/auth/verify-email/confirm`

use axum::extract::State;
use goat_core::Goat;
use goat_tower::{Origin, Principal, Problem};
use http::StatusCode;

use super::mail_answer::MailAnswerBody;
use crate::api::extract::{Json, NoQuery};

/// Verify the current user's e-mail address
///
/// Verifies the address by the answer to the message of `POST /api/v1/user/verify-email`. Only the user that
/// asked for the message can answer it, in a session: otherwise a click by the owner of a mailbox would verify
/// an account that another person opened with the address.
#[utoipa::path(
    post,
    path = "/api/v1/auth/verify-email/confirm",
    operation_id = "verifyEmail",
    tag = "Account",
    responses(
        (status = 204, description = "The address is verified."),
        (status = 400, description = "`invalid-challenge`: the link or code is wrong, unknown, used, expired or another user's."),
    ),
)]
pub(crate) async fn confirm(
    State(goat): State<Goat>,
    me: Principal,
    _: NoQuery,
    origin: Origin,
    Json(MailAnswerBody { answer }): Json<MailAnswerBody>,
) -> Result<StatusCode, Problem> {
    goat.users().verify_email(&me, &answer, &origin).await?;
    Ok(StatusCode::NO_CONTENT)
}
