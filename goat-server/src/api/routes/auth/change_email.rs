//! `POST /api/v1/auth/change-email/confirm` and `POST /api/v1/auth/change-email/undo`

use axum::extract::State;
use goat_core::auth::UndoEmail;
use goat_core::factor::Answer;
use goat_core::{Goat, Secret};
use goat_tower::{Origin, Problem};
use http::StatusCode;
use utoipa::ToSchema;

use super::mail_answer::MailAnswerBody;
use crate::api::extract::{Fields, FromFields, Json, NoQuery, Refused};

/// Confirm a changed e-mail address
///
/// Changes the address of the account by the answer to the message that the new address received. The address
/// is verified. The old address receives a message; if it was verified, that message can undo the change for
/// seven days.
#[utoipa::path(
    post,
    path = "/api/v1/auth/change-email/confirm",
    operation_id = "confirmEmailChange",
    tag = "Authentication",
    responses(
        (status = 204, description = "The address is changed."),
        (status = 400, description = "`invalid-challenge`: the link or code is wrong, unknown, used or expired."),
        (status = 409, description = "`email-taken`: another account has this e-mail address since the request."),
    ),
)]
pub(crate) async fn confirm(
    State(goat): State<Goat>,
    _: NoQuery,
    origin: Origin,
    Json(MailAnswerBody { answer }): Json<MailAnswerBody>,
) -> Result<StatusCode, Problem> {
    goat.confirm_email_change(&answer, &origin).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The answer of the old mailbox. At most one of `authenticator_code` and `recovery_code`.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "what the document shows; the answer itself is Undo")]
pub(crate) struct UndoEmailBody {
    /// The token of the link.
    #[schema(value_type = String)]
    token: Secret<String>,
    /// The code that the authenticator app shows. It or a recovery code is required if the account has a second
    /// factor that is older than the change.
    #[schema(value_type = Option<String>, nullable = false, example = "123456")]
    authenticator_code: Option<Secret<String>>,
    /// A recovery code.
    #[schema(value_type = Option<String>, nullable = false)]
    recovery_code: Option<Secret<String>>,
}

/// The answer of the old mailbox.
#[derive(Debug)]
pub(crate) struct Undo(UndoEmail);

impl FromFields for Undo {
    fn from_fields(fields: &mut Fields) -> Result<Self, Refused> {
        let has_both = fields.contains("authenticator_code") && fields.contains("recovery_code");
        let token = fields.secret("token");
        let code = fields.optional_secret("authenticator_code");
        let recovery_code = fields.optional_secret("recovery_code");
        if has_both {
            let message = "must be absent if authenticator_code is given";
            return Err(fields.refuse("recovery_code", message));
        }
        let factor = code?.map(Answer::Totp).or(recovery_code?.map(Answer::RecoveryCode));
        Ok(Self(UndoEmail { token: token?, factor }))
    }
}

/// Undo a changed e-mail address
///
/// Restores the old address of the account, for seven days after the change, also after a password reset or a
/// second change. It ends every session and removes the password, and the API keys that are newer than the
/// change. A message to the old address then resets the password. An account with a second factor that is
/// older than the change needs its code too, or a recovery code.
#[utoipa::path(
    post,
    path = "/api/v1/auth/change-email/undo",
    operation_id = "undoEmailChange",
    tag = "Authentication",
    request_body = UndoEmailBody,
    responses(
        (status = 204, description = "The old address is restored."),
        (status = 400, description = "`invalid-challenge`: the link is wrong, unknown, used or expired, or the code of the second factor is wrong."),
        (status = 409, description = "`email-taken`: another account has the old address now."),
    ),
)]
pub(crate) async fn undo(
    State(goat): State<Goat>,
    _: NoQuery,
    origin: Origin,
    Json(Undo(undo)): Json<Undo>,
) -> Result<StatusCode, Problem> {
    goat.undo_email_change(undo, &origin).await?;
    Ok(StatusCode::NO_CONTENT)
}
