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
    /// The `device_token` of an earlier sign-in of this account on this device. One that is invalid,
    /// expired or of another account is ignored.
    #[schema(value_type = Option<String>, nullable = false)]
    device_token: Option<Secret<String>>,
}

impl FromFields for LoginBody {
    fn from_fields(fields: &mut Fields) -> Result<Self, Refused> {
        let email = fields.secret("email");
        let password = fields.secret("password");
        let device_token = fields.optional_secret("device_token");
        Ok(Self { email: email?, password: password?, device_token: device_token? })
    }
}

/// Sign in with a password
///
/// Starts a session and returns its tokens. Every attempt, successful or not, counts against a rate
/// limit per client address, one per account, and one per account and day, which a successful sign-in
/// resets. An attempt with a valid `device_token` of the account counts against limits of that token
/// instead of the account's, so that others cannot lock the device out: store the token on the device
/// and send it with the next sign-in. It is valid for 180 days and grants nothing.
#[utoipa::path(
    post,
    path = "/api/v1/auth/login",
    operation_id = "login",
    tag = "Authentication",
    responses(
        (status = 200, description = "The tokens of the new session, the user, and a new device token.", body = Data<SignedIn>),
        (status = 401, description = "`invalid-credentials`: the e-mail address or the password is wrong."),
        (status = 403, description = "`account-inactive` or `account-suspended`: the password is right, but the account cannot be used."),
    ),
)]
pub(crate) async fn login(
    State(goat): State<Goat>,
    _: NoQuery,
    origin: Origin,
    Json(LoginBody { email, password, device_token }): Json<LoginBody>,
) -> Result<impl IntoResponse, Problem> {
    let signed_in =
        goat.login(Login { email, password, device_token, origin: origin.into() }).await?;
    let (signed_in, decisions) = split_decisions(signed_in);
    Ok((decisions, Data::new(SignedIn::from(signed_in))))
}
