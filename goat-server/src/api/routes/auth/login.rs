//! `POST /api/v1/auth/login`

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use goat_core::auth::{self, Login};
use goat_core::{Goat, Secret};
use goat_tower::cookie::Cookies;
use goat_tower::{Origin, Problem};
use http::StatusCode;
use utoipa::ToSchema;

use crate::api::AppState;
use crate::api::extract::{Fields, FromFieldsWith, Json, NoQuery, Refused, SessionCookies};
use crate::api::routes::split_decisions;
use crate::api::view::{BodyOrCookies, Data, SignedIn, SignedInByCookie, TokenExpiries};

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
    /// `cookie` puts the tokens into two cookies instead of the response's body, for browsers. Rejected
    /// unless the server is configured for session cookies.
    #[schema(value_type = Option<String>, nullable = false)]
    session: Option<InCookies>,
}

/// The request for a session in cookies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InCookies;

impl InCookies {
    /// Requests the member `session`.
    pub(crate) fn field(fields: &mut Fields, state: &AppState) -> Result<Option<Self>, Refused> {
        let are_on = state.http.session_cookies.is_some();
        fields.optional_parse("session", |text| match text {
            "cookie" if are_on => Ok(Self),
            "cookie" => Err("must be absent: this server does not use session cookies"),
            _ => Err("must be `cookie`"),
        })
    }
}

impl FromFieldsWith<AppState> for LoginBody {
    fn from_fields_with(fields: &mut Fields, state: &AppState) -> Result<Self, Refused> {
        let email = fields.secret("email");
        let password = fields.secret("password");
        let device_token = fields.optional_secret("device_token");
        let session = InCookies::field(fields, state);
        Ok(Self {
            email: email?,
            password: password?,
            device_token: device_token?,
            session: session?,
        })
    }
}

/// Sign in with a password
///
/// Starts a session and returns its tokens. Every attempt, successful or not, counts against a rate
/// limit per client address, one per account, and one per account and day, which a successful sign-in
/// resets. An attempt with a valid `device_token` of the account counts against limits of that token
/// instead of the account's, so that others cannot lock the device out: store the token on the device
/// and send it with the next sign-in. It is valid for 180 days and grants nothing.
///
/// With `"session": "cookie"` the tokens are in two `HttpOnly` cookies, and the body has neither tokens
/// nor a device token. Such a request must come from a page of the same origin or of an allowed one.
#[utoipa::path(
    post,
    path = "/api/v1/auth/login",
    operation_id = "login",
    tag = "Authentication",
    responses(
        (status = 200, description = "The tokens of the new session, the user, and a new device token; with `\"session\": \"cookie\"`, two `Set-Cookie` headers, the expiries and the user.", body = Data<BodyOrCookies<SignedIn, SignedInByCookie>>),
        (status = 401, description = "`invalid-credentials`: the e-mail address or the password is wrong. `second-factor-required`: the password is right, and a second factor of the user is in force; answer `challenge` and `secret` by `POST /api/v1/auth/login/confirm`, with one of `methods`."),
        (status = 403, description = "`account-inactive` or `account-suspended`: the password is right, but the account cannot be used. `cross-site-request`: `session` is `cookie`, and the request does not come from an allowed origin."),
    ),
)]
pub(crate) async fn login(
    State(goat): State<Goat>,
    _: NoQuery,
    origin: Origin,
    cookies: SessionCookies,
    Json(LoginBody { email, password, device_token, session }): Json<LoginBody>,
) -> Result<Response, Problem> {
    // Before the password is verified.
    let cookies = session.map(|InCookies| cookies.for_sign_in()).transpose()?;
    let signed_in =
        goat.login(Login { email, password, device_token, origin: origin.into() }).await?;
    let (signed_in, decisions) = split_decisions(signed_in);
    Ok((decisions, respond(StatusCode::OK, signed_in, cookies)?).into_response())
}

/// Returns the response to a completed sign-in: with the tokens, or with cookies.
pub(super) fn respond(
    status: StatusCode,
    signed_in: auth::SignedIn,
    cookies: Option<&Cookies>,
) -> Result<Response, Problem> {
    let Some(cookies) = cookies else {
        return Ok((status, Data::new(SignedIn::from(signed_in))).into_response());
    };
    let expiries = TokenExpiries::from(&signed_in.tokens);
    let data = SignedInByCookie { expiries, user: signed_in.user.into() };
    let mut response = (status, Data::new(data)).into_response();
    cookies.put(&signed_in.tokens, response.headers_mut())?;
    Ok(response)
}
