//! `POST /api/v1/auth/step-up`

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use goat_core::auth::StepUp;
use goat_core::{Goat, Secret};
use goat_tower::{Origin, Principal, Problem};
use utoipa::ToSchema;

use super::confirm::answer;
use crate::api::extract::{Fields, FromFields, Json, NoQuery, Refused, SessionCookies};
use crate::api::routes::split_decisions;
use crate::api::view::{BodyOrCookies, Data, TokenExpiries, Tokens};

/// The proof of the user: exactly one of the members.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "123456"}))]
#[expect(dead_code, reason = "what the document shows; the proof itself is Shown")]
pub(crate) struct StepUpBody {
    /// The password of the account.
    #[schema(value_type = Option<String>, nullable = false, format = Password)]
    password: Option<Secret<String>>,
    /// The code that the authenticator app shows.
    #[schema(value_type = Option<String>, nullable = false)]
    code: Option<Secret<String>>,
    /// A recovery code.
    #[schema(value_type = Option<String>, nullable = false)]
    recovery_code: Option<Secret<String>>,
}

/// The proof that the user shows.
#[derive(Debug)]
pub(crate) struct Shown(StepUp);

impl FromFields for Shown {
    fn from_fields(fields: &mut Fields) -> Result<Self, Refused> {
        let is_one = fields.exactly_one(
            &["password", "code", "recovery_code"],
            "must be given as the only one of password, code and recovery_code",
        );
        let password = fields.optional_secret("password");
        let answer = answer(fields);
        is_one?;
        let password = password?.map(StepUp::Password);
        let proof = password.or(answer?.map(StepUp::Factor));
        proof.map(Self).ok_or_else(|| fields.refuse("password", "is required"))
    }
}

/// Authenticate again
///
/// For operations that need a recent authentication (401 `step-up-required`). A new session takes the place
/// of the current one: on the same device and with the same end, with the returned tokens. The earlier
/// access and refresh tokens no longer work (401 `session-revoked`), and presenting one ends nothing. The
/// password counts against a limit of the session. The code of a second factor makes the new session one of
/// several factors. If the access token is in a cookie, the new tokens are in
/// the two cookies, and the body has the expiries only.
#[utoipa::path(
    post,
    path = "/api/v1/auth/step-up",
    operation_id = "stepUp",
    tag = "Authentication",
    request_body = StepUpBody,
    responses(
        (status = 200, description = "The tokens of the new session; with session cookies, two `Set-Cookie` headers and the expiries.", body = Data<BodyOrCookies<Tokens, TokenExpiries>>),
        (status = 403, description = "`wrong-password`: the password is wrong. `wrong-code`: the code is wrong, or the user has no such factor."),
    ),
)]
pub(crate) async fn step_up(
    State(goat): State<Goat>,
    me: Principal,
    _: NoQuery,
    origin: Origin,
    cookies: SessionCookies,
    Json(Shown(proof)): Json<Shown>,
) -> Result<Response, Problem> {
    let stepped_up = goat.step_up(&me, proof, &origin).await?;
    let (stepped_up, decisions) = split_decisions(stepped_up);
    let Some(cookies) = cookies.of_principal() else {
        return Ok((decisions, Data::new(Tokens::from(stepped_up.tokens))).into_response());
    };
    let expiries = TokenExpiries::from(&stepped_up.tokens);
    let mut response = (decisions, Data::new(expiries)).into_response();
    cookies.put(&stepped_up.tokens, response.headers_mut())?;
    Ok(response)
}
