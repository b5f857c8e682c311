//! `POST /api/v1/auth/signup/confirm`

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use goat_core::auth::MailAnswer;
use goat_core::{Goat, Secret};
use goat_tower::{Origin, Problem};
use http::StatusCode;
use http::header::{HeaderValue, LOCATION};
use utoipa::ToSchema;

use super::login::{InCookies, respond};
use super::mail_answer::mail_answer;
use crate::api::extract::{Fields, FromFieldsWith, Json, NoQuery, Refused, SessionCookies};
use crate::api::routes::new_password;
use crate::api::view::{BodyOrCookies, Data, SignedIn, SignedInByCookie};
use crate::api::{AppState, Mount};

/// The answer to the message, and the password of the new account.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfirmSignUpBody {
    #[schema(ignore)]
    answer: MailAnswer,
    /// 15 to 256 characters unless the server is configured otherwise. Common passwords and the
    /// e-mail address are rejected.
    #[schema(value_type = String, format = Password)]
    password: Secret<String>,
    /// `cookie` puts the tokens into two cookies instead of the response's body, as for a sign-in.
    #[schema(value_type = Option<String>, nullable = false)]
    session: Option<InCookies>,
}

impl FromFieldsWith<AppState> for ConfirmSignUpBody {
    fn from_fields_with(fields: &mut Fields, state: &AppState) -> Result<Self, Refused> {
        let answer = mail_answer(fields);
        let password = first_password(fields, state);
        let session = InCookies::field(fields, state);
        Ok(Self { answer: answer?, password: password?, session: session? })
    }
}

/// Requests the first password of an account. The service checks it again, against the address.
pub(super) fn first_password(
    fields: &mut Fields,
    state: &AppState,
) -> Result<Secret<String>, Refused> {
    let password = fields.secret("password").map(Some);
    let password = new_password(fields, "password", password, None, &state.goat)?;
    password.ok_or_else(|| fields.refuse("password", "is required"))
}

/// Confirm a sign-up
///
/// Creates the account by the answer to the message, with a password, and starts a session. The account is
/// active, its address is verified, and it has the role that the server gives at sign-up.
#[utoipa::path(
    post,
    path = "/api/v1/auth/signup/confirm",
    operation_id = "confirmSignUp",
    tag = "Authentication",
    responses(
        (status = 201, description = "The tokens of the new session, the created account, and a device token; with `\"session\": \"cookie\"`, two `Set-Cookie` headers, the expiries and the account.", body = Data<BodyOrCookies<SignedIn, SignedInByCookie>>,
            headers(("Location" = String, description = "The path of the created user."))),
        (status = 400, description = "`invalid-challenge`: the link or code is wrong, unknown, used or expired."),
        (status = 403, description = "`cross-site-request`: `session` is `cookie`, and the request does not come from an allowed origin."),
        (status = 409, description = "`email-taken`: another account has this e-mail address since the sign-up."),
    ),
)]
pub(crate) async fn confirm_sign_up(
    State(goat): State<Goat>,
    State(mount): State<Arc<Mount>>,
    _: NoQuery,
    origin: Origin,
    cookies: SessionCookies,
    Json(ConfirmSignUpBody { answer, password, session }): Json<ConfirmSignUpBody>,
) -> Result<Response, Problem> {
    // Before the answer is compared.
    let cookies = session.map(|InCookies| cookies.for_sign_in()).transpose()?;
    let signed_in = goat.confirm_sign_up(&answer, &password, &origin).await?;
    let location = mount.location(format_args!("/api/v1/user/{}", signed_in.user.id));
    let mut response = respond(StatusCode::CREATED, signed_in, cookies)?;
    if let Some(location) = location.map(HeaderValue::try_from).and_then(Result::ok) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}
