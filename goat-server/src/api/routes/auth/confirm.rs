//! `POST /api/v1/auth/login/confirm`

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use goat_core::factor::{Answer, SignInChallenge};
use goat_core::{ChallengeId, Goat, Secret};
use goat_tower::{Origin, Problem};
use http::StatusCode;
use utoipa::ToSchema;

use super::login::{InCookies, respond};
use crate::api::AppState;
use crate::api::extract::{Fields, FromFieldsWith, Json, NoQuery, Refused, SessionCookies};
use crate::api::routes::split_decisions;
use crate::api::view::{BodyOrCookies, Data, SignedIn, SignedInByCookie};

/// The answer to a pending sign-in: exactly one of `code` and `recovery_code`.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "what the document shows; the answer itself is Confirmation")]
pub(crate) struct ConfirmBody {
    /// The `challenge` of the pending sign-in.
    #[schema(value_type = String, example = "01KDWMBY00C8X0F4ZCV7J3T9QH")]
    challenge: ChallengeId,
    /// Its `secret`.
    #[schema(value_type = String)]
    secret: Secret<String>,
    /// The code that the authenticator app shows.
    #[schema(value_type = Option<String>, nullable = false, example = "123456")]
    code: Option<Secret<String>>,
    /// A recovery code.
    #[schema(value_type = Option<String>, nullable = false)]
    recovery_code: Option<Secret<String>>,
    /// `cookie` puts the tokens into two cookies instead of the response's body, as for a sign-in.
    #[schema(value_type = Option<String>, nullable = false)]
    session: Option<InCookies>,
}

/// A pending sign-in and its answer.
#[derive(Debug)]
pub(crate) struct Confirmation {
    pending: SignInChallenge,
    answer: Answer,
    session: Option<InCookies>,
}

impl FromFieldsWith<AppState> for Confirmation {
    fn from_fields_with(fields: &mut Fields, state: &AppState) -> Result<Self, Refused> {
        let is_one = fields.exactly_one(
            &["code", "recovery_code"],
            "must be given as the only one of code and recovery_code",
        );
        let id = fields.parse("challenge", ChallengeId::parse);
        let secret = fields.secret("secret");
        let answer = answer(fields);
        let session = InCookies::field(fields, state);
        is_one?;
        let answer = answer?.ok_or_else(|| fields.refuse("code", "is required"))?;
        let pending = SignInChallenge { id: id?, secret: secret? };
        Ok(Self { pending, answer, session: session? })
    }
}

/// Requests the members of an answer. At most one of them is present.
pub(super) fn answer(fields: &mut Fields) -> Result<Option<Answer>, Refused> {
    let code = fields.optional_secret("code");
    let recovery_code = fields.optional_secret("recovery_code");
    Ok(code?.map(Answer::Totp).or(recovery_code?.map(Answer::RecoveryCode)))
}

/// Confirm a sign-in with a second factor
///
/// Completes a sign-in that was answered with 401 `second-factor-required`, and starts its session. A pending
/// sign-in can be confirmed once, within ten minutes, and takes five answers; it ends with a new password, a
/// suspension, or the end of all sessions of the user. An answer counts against the limits of the sign-in.
#[utoipa::path(
    post,
    path = "/api/v1/auth/login/confirm",
    operation_id = "confirmLogin",
    tag = "Authentication",
    request_body = ConfirmBody,
    responses(
        (status = 200, description = "The tokens of the new session, the user, and a new device token; with `\"session\": \"cookie\"`, two `Set-Cookie` headers, the expiries and the user.", body = Data<BodyOrCookies<SignedIn, SignedInByCookie>>),
        (status = 400, description = "`invalid-challenge`: the answer or the secret is wrong, or the pending sign-in is unknown, used or expired."),
        (status = 403, description = "`account-inactive` or `account-suspended`: the answer is right, but the account cannot be used. `cross-site-request`: `session` is `cookie`, and the request does not come from an allowed origin."),
    ),
)]
pub(crate) async fn confirm(
    State(goat): State<Goat>,
    _: NoQuery,
    origin: Origin,
    cookies: SessionCookies,
    Json(Confirmation { pending, answer, session }): Json<Confirmation>,
) -> Result<Response, Problem> {
    // Before the answer is verified.
    let cookies = session.map(|InCookies| cookies.for_sign_in()).transpose()?;
    let (signed_in, decisions) = split_decisions(goat.answer(pending, answer, &origin).await?);
    Ok((decisions, respond(StatusCode::OK, signed_in, cookies)?).into_response())
}
