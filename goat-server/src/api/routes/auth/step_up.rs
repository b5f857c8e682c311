//! `POST /api/v1/auth/step-up`

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use goat_core::auth::StepUp;
use goat_core::{Goat, Secret};
use goat_tower::{Origin, Principal, Problem};
use utoipa::ToSchema;

use crate::api::extract::{Fields, FromFields, Json, NoQuery, Refused, SessionCookies};
use crate::api::routes::split_decisions;
use crate::api::view::{BodyOrCookies, Data, TokenExpiries, Tokens};

/// The proof of the user.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StepUpBody {
    /// The password of the account.
    #[schema(value_type = String, format = Password)]
    password: Secret<String>,
}

impl FromFields for StepUpBody {
    fn from_fields(fields: &mut Fields) -> Result<Self, Refused> {
        Ok(Self { password: fields.secret("password")? })
    }
}

/// Authenticate again
///
/// For operations that need a recent authentication (401 `step-up-required`). A new session takes the place
/// of the current one: on the same device and with the same end, with the returned tokens. The earlier
/// access and refresh tokens no longer work (401 `session-revoked`), and presenting one ends nothing. The
/// password counts against a limit of the session. If the access token is in a cookie, the new tokens are in
/// the two cookies, and the body has the expiries only.
#[utoipa::path(
    post,
    path = "/api/v1/auth/step-up",
    operation_id = "stepUp",
    tag = "Authentication",
    responses(
        (status = 200, description = "The tokens of the new session; with session cookies, two `Set-Cookie` headers and the expiries.", body = Data<BodyOrCookies<Tokens, TokenExpiries>>),
        (status = 403, description = "`wrong-password`: the password is wrong."),
    ),
)]
pub(crate) async fn step_up(
    State(goat): State<Goat>,
    me: Principal,
    _: NoQuery,
    origin: Origin,
    cookies: SessionCookies,
    Json(StepUpBody { password }): Json<StepUpBody>,
) -> Result<Response, Problem> {
    let stepped_up = goat.step_up(&me, StepUp::Password(password), &origin).await?;
    let (stepped_up, decisions) = split_decisions(stepped_up);
    let Some(cookies) = cookies.of_principal() else {
        return Ok((decisions, Data::new(Tokens::from(stepped_up.tokens))).into_response());
    };
    let expiries = TokenExpiries::from(&stepped_up.tokens);
    let mut response = (decisions, Data::new(expiries)).into_response();
    cookies.put(&stepped_up.tokens, response.headers_mut())?;
    Ok(response)
}
