//! `POST /api/v1/auth/code` and `POST /api/v1/auth/code/confirm`

use axum::extract::State;
use axum::response::Response;
use goat_core::Goat;
use goat_core::auth::MailAnswer;
use goat_tower::{Origin, Problem};
use http::StatusCode;
use utoipa::ToSchema;

use super::login::{InCookies, respond};
use super::mail_answer::{MailRequestBody, mail_answer};
use crate::api::AppState;
use crate::api::extract::{Fields, FromFieldsWith, Json, NoQuery, Refused, SessionCookies};
use crate::api::view::{Accepted, BodyOrCookies, ChallengeSent, Data, SignedIn, SignedInByCookie};

/// Request a sign-in by e-mail
///
/// Sends a message with a link and a code, valid for ten minutes, to a user with a verified address. The
/// response is the same for an address without an account. Sign in by the link of the message, or by its code
/// and `challenge` with `POST /api/v1/auth/code/confirm`. Messages count against a limit of their recipient.
#[utoipa::path(
    post,
    path = "/api/v1/auth/code",
    operation_id = "requestCode",
    tag = "Authentication",
    responses((status = 202, description = "A message is sent if an account has the address, and it is verified.", body = Data<ChallengeSent>)),
)]
pub(crate) async fn request(
    State(goat): State<Goat>,
    _: NoQuery,
    origin: Origin,
    Json(MailRequestBody { email }): Json<MailRequestBody>,
) -> Result<Accepted<ChallengeSent>, Problem> {
    Ok(goat.request_sign_in(email, &origin).await?.into())
}

/// The answer to the message.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfirmCodeBody {
    #[schema(ignore)]
    answer: MailAnswer,
    /// `cookie` puts the tokens into two cookies instead of the response's body, as for a sign-in.
    #[schema(value_type = Option<String>, nullable = false)]
    session: Option<InCookies>,
}

impl FromFieldsWith<AppState> for ConfirmCodeBody {
    fn from_fields_with(fields: &mut Fields, state: &AppState) -> Result<Self, Refused> {
        let answer = mail_answer(fields);
        let session = InCookies::field(fields, state);
        Ok(Self { answer: answer?, session: session? })
    }
}

/// Sign in by e-mail
///
/// Starts a session by the answer to the message, and returns its tokens. It creates no account, and is no
/// second factor.
#[utoipa::path(
    post,
    path = "/api/v1/auth/code/confirm",
    operation_id = "confirmCode",
    tag = "Authentication",
    responses(
        (status = 200, description = "The tokens of the new session, the user, and a new device token; with `\"session\": \"cookie\"`, two `Set-Cookie` headers, the expiries and the user.", body = Data<BodyOrCookies<SignedIn, SignedInByCookie>>),
        (status = 400, description = "`invalid-challenge`: the link or code is wrong, unknown, used or expired."),
        (status = 401, description = "`second-factor-required`: the answer is right, and a second factor of the user is in force; answer `challenge` and `secret` by `POST /api/v1/auth/login/confirm`, with one of `methods`."),
        (status = 403, description = "`account-inactive` or `account-suspended`: the answer is right, but the account cannot be used. `cross-site-request`: `session` is `cookie`, and the request does not come from an allowed origin."),
    ),
)]
pub(crate) async fn confirm(
    State(goat): State<Goat>,
    _: NoQuery,
    origin: Origin,
    cookies: SessionCookies,
    Json(ConfirmCodeBody { answer, session }): Json<ConfirmCodeBody>,
) -> Result<Response, Problem> {
    // Before the answer is compared.
    let cookies = session.map(|InCookies| cookies.for_sign_in()).transpose()?;
    let signed_in = goat.sign_in_by_letter(&answer, origin.into()).await?;
    respond(StatusCode::OK, signed_in, cookies)
}
