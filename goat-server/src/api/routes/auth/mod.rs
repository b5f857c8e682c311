//! Sign up, sign in, go on, sign out.

pub(crate) mod verify;

use axum::extract::{FromRequestParts, State};
use axum::response::IntoResponse;
use goat_core::auth::{Login, SignUp};
use goat_core::{Email, ErrorKind, Goat, Secret, Signup};
use goat_tower::{Origin, Principal, Problem};
use http::StatusCode;
use http::request::Parts;
use utoipa::ToSchema;

use super::{new_password, uncharge};
use crate::api::AppState;
use crate::api::extract::{Fields, FromFields, FromFieldsWith, Json, NoQuery, Refused};
use crate::api::view::{Created, Data, SignedIn, Tokens, User};

/// Where anybody may sign up. Where nobody may, the route is not there, whatever is sent to it.
pub(crate) struct OpenSignup;

impl FromRequestParts<AppState> for OpenSignup {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        match state.goat.settings().signup {
            Signup::Closed => Err(ErrorKind::SignupClosed.into()),
            Signup::Active | Signup::Inactive => Ok(Self),
        }
    }
}

/// The account to create.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignUpBody {
    /// The e-mail address, at most 254 octets. Surrounding white space is removed.
    #[schema(value_type = String, format = Email, example = "ann@example.org")]
    email: Email,
    /// 15 to 256 characters unless the server is configured otherwise. Common passwords and the
    /// e-mail address are rejected.
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

/// Sign up
///
/// Creates an account with the lowest role. Depending on the server's configuration, the account is
/// active immediately or must first be activated by an administrator.
#[utoipa::path(
    post,
    path = "/api/v1/auth/signup",
    operation_id = "signUp",
    tag = "Authentication",
    responses(
        (status = 201, description = "The created account.", body = Data<User>,
            headers(("Location" = String, description = "The path of the created user."))),
        (status = 404, description = "`not-found`: sign-up is closed on this server."),
        (status = 409, description = "`email-taken`: another account has this e-mail address."),
    ),
)]
pub(crate) async fn sign_up(
    State(goat): State<Goat>,
    _: OpenSignup,
    _: NoQuery,
    origin: Origin,
    Json(SignUpBody { email, password }): Json<SignUpBody>,
) -> Result<Created<User>, Problem> {
    let user = goat.sign_up(SignUp { email, password, origin: origin.into() }).await?;
    Ok(User::from(user).created())
}

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
    let (signed_in, charges) = uncharge(signed_in);
    Ok((charges, Data::new(SignedIn::from(signed_in))))
}

/// The refresh token to exchange.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefreshBody {
    /// The most recent refresh token of the session.
    #[schema(value_type = String)]
    refresh_token: Secret<String>,
}

impl FromFields for RefreshBody {
    fn from_fields(fields: &mut Fields) -> Result<Self, Refused> {
        Ok(Self { refresh_token: fields.secret("refresh_token")? })
    }
}

/// Refresh the session
///
/// Exchanges a refresh token for a new pair of tokens. A refresh token works once: repeating the
/// request within the grace period returns the same refresh token again, and any later use of an old
/// token ends the session.
#[utoipa::path(
    post,
    path = "/api/v1/auth/refresh",
    operation_id = "refresh",
    tag = "Authentication",
    responses(
        (status = 200, description = "The new tokens.", body = Data<Tokens>),
        (status = 401, description = "`invalid-token`, `token-expired`, `session-revoked`, or `token-reused`: an old token was used again, and the session has ended."),
    ),
)]
pub(crate) async fn refresh(
    State(goat): State<Goat>,
    _: NoQuery,
    origin: Origin,
    Json(RefreshBody { refresh_token }): Json<RefreshBody>,
) -> Result<Data<Tokens>, Problem> {
    let refreshed = goat.refresh(&refresh_token, &origin).await?;
    Ok(Data::new(refreshed.tokens.into()))
}

/// Sign out
///
/// Ends the current session. Its access token and refresh token stop working immediately.
#[utoipa::path(
    post,
    path = "/api/v1/auth/logout",
    operation_id = "logout",
    tag = "Authentication",
    responses((status = 204, description = "The session has ended.")),
)]
pub(crate) async fn logout(
    State(goat): State<Goat>,
    me: Principal,
    _: NoQuery,
    origin: Origin,
) -> Result<StatusCode, Problem> {
    goat.logout(&me, &origin).await?;
    Ok(StatusCode::NO_CONTENT)
}
