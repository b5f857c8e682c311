//! Sign up, sign in, go on, sign out.

use axum::extract::{FromRequestParts, State};
use axum::response::IntoResponse;
use goat_core::auth::{Login, SignUp};
use goat_core::{Email, ErrorKind, Goat, Secret, Signup};
use http::StatusCode;
use http::request::Parts;
use utoipa::ToSchema;

use super::{new_password, uncharge};
use crate::extract::{Caller, Fields, FromFields, FromFieldsWith, Json, NoQuery, Refused, Sender};
use crate::http::ApiError;
use crate::present::{Created, Data, SignedIn, Tokens, User};
use crate::state::AppState;

/// Where anybody may sign up. Where nobody may, the route is not there, whatever is sent to it.
pub(crate) struct OpenSignup;

impl FromRequestParts<AppState> for OpenSignup {
    type Rejection = ApiError;

    async fn from_request_parts(_: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        match state.goat.settings().signup {
            Signup::Closed => Err(ErrorKind::SignupClosed.into()),
            Signup::Active | Signup::Inactive => Ok(Self),
        }
    }
}

/// What an account is made from.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignUpBody {
    /// At most 254 octets; trimmed, and kept as it was given.
    #[schema(value_type = String, format = Email, example = "ann@example.org")]
    email: Email,
    /// 15 to 256 characters unless configured otherwise; not a common one, not the address.
    #[schema(value_type = String, format = Password)]
    password: Secret<String>,
}

impl FromFieldsWith<AppState> for SignUpBody {
    fn from_fields_with(fields: &mut Fields, state: &AppState) -> Result<Self, Refused> {
        let email = fields.parse("email", Email::parse);
        let password = fields.secret("password").map(Some);
        let known = email.as_ref().ok();
        let password = new_password(fields, "password", password, known, &state.goat);
        let (email, password) = (email?, password?);
        let password = password.ok_or_else(|| fields.refuse("password", "is required"))?;
        Ok(Self { email, password })
    }
}

/// Sign up.
///
/// Makes an account with the lowest role. Whether it may sign in at once is the server's
/// configuration.
#[utoipa::path(
    post,
    path = "/api/v1/auth/signup",
    operation_id = "signUp",
    tag = "auth",
    responses(
        (status = 201, description = "The account.", body = Data<User>,
            headers(("Location" = String, description = "Where the user is found."))),
        (status = 404, description = "`not-found`: sign-up is closed."),
        (status = 409, description = "`email-taken`."),
    ),
)]
pub(crate) async fn sign_up(
    State(goat): State<Goat>,
    _: OpenSignup,
    _: NoQuery,
    Sender(origin): Sender,
    Json(SignUpBody { email, password }): Json<SignUpBody>,
) -> Result<Created<User>, ApiError> {
    let user = goat.sign_up(SignUp { email, password, origin }).await?;
    Ok(User::from(user).created())
}

/// What somebody signs in with: any two texts are tried.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginBody {
    /// The e-mail address.
    #[schema(value_type = String, example = "ann@example.org")]
    email: Secret<String>,
    /// The password.
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

/// Sign in.
///
/// Exchanges an e-mail address and a password for a session. Attempts are counted by address and by
/// account, successes like failures.
#[utoipa::path(
    post,
    path = "/api/v1/auth/login",
    operation_id = "login",
    tag = "auth",
    responses(
        (status = 200, description = "The session's tokens, and the user.", body = Data<SignedIn>),
        (status = 401, description = "`invalid-credentials`: the two do not match, or there is no such account."),
        (status = 403, description = "`account-inactive`, `account-suspended`: with the right password only."),
    ),
)]
pub(crate) async fn login(
    State(goat): State<Goat>,
    _: NoQuery,
    Sender(origin): Sender,
    Json(LoginBody { email, password }): Json<LoginBody>,
) -> Result<impl IntoResponse, ApiError> {
    let signed_in = goat.login(Login { email, password, origin }).await?;
    let (signed_in, charges) = uncharge(signed_in);
    Ok((charges, Data::new(SignedIn::from(signed_in))))
}

/// What a session goes on with.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefreshBody {
    /// The refresh token that was answered last.
    #[schema(value_type = String)]
    refresh_token: Secret<String>,
}

impl FromFields for RefreshBody {
    fn from_fields(fields: &mut Fields) -> Result<Self, Refused> {
        Ok(Self { refresh_token: fields.secret("refresh_token")? })
    }
}

/// Go on with a session.
///
/// Exchanges a refresh token for the next pair of tokens, once. Asked again within the leeway, the
/// same successor is answered; any other use of an old token ends the session.
#[utoipa::path(
    post,
    path = "/api/v1/auth/refresh",
    operation_id = "refresh",
    tag = "auth",
    responses(
        (status = 200, description = "The next tokens.", body = Data<Tokens>),
        (status = 401, description = "`invalid-token`, `token-expired`, `session-revoked`, `token-reused`."),
    ),
)]
pub(crate) async fn refresh(
    State(goat): State<Goat>,
    _: NoQuery,
    Sender(origin): Sender,
    Json(RefreshBody { refresh_token }): Json<RefreshBody>,
) -> Result<Data<Tokens>, ApiError> {
    let refreshed = goat.refresh(&refresh_token, &origin).await?;
    Ok(Data::new(refreshed.tokens.into()))
}

/// Sign out.
///
/// Ends the session that asks. Its tokens are dead from now on.
#[utoipa::path(
    post,
    path = "/api/v1/auth/logout",
    operation_id = "logout",
    tag = "auth",
    responses((status = 204, description = "The session has ended.")),
)]
pub(crate) async fn logout(
    State(goat): State<Goat>,
    Caller(caller): Caller,
    _: NoQuery,
    Sender(origin): Sender,
) -> Result<StatusCode, ApiError> {
    goat.logout(&caller, &origin).await?;
    Ok(StatusCode::NO_CONTENT)
}
