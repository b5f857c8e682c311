//! `POST /api/v1/auth/login`

use axum::extract::State;
use axum::response::IntoResponse;
use goat_core::auth::Login;
use goat_core::{Goat, Secret};
use goat_tower::{Origin, Problem};
use utoipa::ToSchema;

use crate::api::extract::{Fields, FromFields, Json, NoQuery, Refused};
use crate::api::routes::split_decisions;
use crate::api::view::{Data, SignedIn};

/// The credentials of an account.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginBody {
    /// The e-mail address of the account.
    #[schema(value_type = String, example = "ann@example.org")]
    email: Secret<String>,
    /// The password of the account.
    #[schema(value_type = String, format = Password)]
    password: Secret<String>,
}

impl FromFields for LoginBody {
    fn from_fields(fields: &mut Fields) -> Result<Self, Refused> {
        let email = fields.secret("email");
        let password = fields.secret("password");
        Ok(Self { email: email?, password: password? })
    }
}

/// Sign in with a password
///
/// Starts a session and returns its tokens. Every attempt, successful or not, counts against a rate
/// limit per client address and one per account.
#[utoipa::path(
    post,
    path = "/api/v1/auth/login",
    operation_id = "login",
    tag = "Authentication",
    responses(
        (status = 200, description = "The tokens of the new session, and the user.", body = Data<SignedIn>),
        (status = 401, description = "`invalid-credentials`: the e-mail address or the password is wrong."),
        (status = 403, description = "`account-inactive` or `account-suspended`: the password is right, but the account cannot be used."),
    ),
)]
pub(crate) async fn login(
    State(goat): State<Goat>,
    _: NoQuery,
    origin: Origin,
    Json(LoginBody { email, password }): Json<LoginBody>,
) -> Result<impl IntoResponse, Problem> {
    let signed_in = goat.login(Login { email, password, origin: origin.into() }).await?;
    let (signed_in, decisions) = split_decisions(signed_in);
    Ok((decisions, Data::new(SignedIn::from(signed_in))))
}
