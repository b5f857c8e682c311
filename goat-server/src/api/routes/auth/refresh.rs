//! `POST /api/v1/auth/refresh`

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use goat_core::{Goat, Secret};
use goat_tower::{Origin, Problem};
use utoipa::ToSchema;

use crate::api::AppState;
use crate::api::extract::{Fields, FromFieldsWith, Json, NoQuery, Refused, SessionCookies};
use crate::api::view::{BodyOrCookies, Data, TokenExpiries, Tokens};

/// The refresh token to exchange.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefreshBody {
    /// The most recent refresh token of the session. May be absent only if the server is configured for
    /// session cookies; then the token is read from its cookie.
    #[schema(value_type = Option<String>, nullable = false)]
    refresh_token: Option<Secret<String>>,
}

impl FromFieldsWith<AppState> for RefreshBody {
    fn from_fields_with(fields: &mut Fields, state: &AppState) -> Result<Self, Refused> {
        let refresh_token = match state.http.session_cookies {
            Some(_) => fields.optional_secret("refresh_token")?,
            None => Some(fields.secret("refresh_token")?),
        };
        Ok(Self { refresh_token })
    }
}

/// Refresh the session
///
/// Exchanges a refresh token for a new pair of tokens. A refresh token works once: repeating the
/// request within the grace period returns the same refresh token again, and any later use of an old
/// token ends the session. A token from before a change of the password is `session-revoked` and ends
/// nothing.
///
/// With session cookies, the body `{}` exchanges the token of the refresh cookie: both cookies are set, and
/// the body has the expiries only. A 401 then clears both cookies. Such a request must come from a page of
/// the same origin or of an allowed one.
#[utoipa::path(
    post,
    path = "/api/v1/auth/refresh",
    operation_id = "refresh",
    tag = "Authentication",
    responses(
        (status = 200, description = "The new tokens; with the refresh cookie, two `Set-Cookie` headers and the expiries.", body = Data<BodyOrCookies<Tokens, TokenExpiries>>),
        (status = 401, description = "`invalid-token`, `token-expired`, `session-revoked`, or `token-reused`: an old token was used again, and the session has ended. `unauthenticated`: there is neither a token in the body nor the cookie."),
        (status = 403, description = "`cross-site-request`: the token would be read from its cookie, and the request does not come from an allowed origin."),
    ),
)]
pub(crate) async fn refresh(
    State(goat): State<Goat>,
    _: NoQuery,
    origin: Origin,
    cookies: SessionCookies,
    Json(RefreshBody { refresh_token }): Json<RefreshBody>,
) -> Result<Response, Problem> {
    match refresh_token {
        Some(token) => {
            let refreshed = goat.refresh(&token, &origin).await?;
            Ok(Data::new(Tokens::from(refreshed.tokens)).into_response())
        }
        None => Ok(by_cookie(&goat, &origin, &cookies).await.unwrap_or_else(|problem| {
            let mut response = problem.clone().into_response().map(Body::from);
            cookies.clear_after(&problem, response.headers_mut());
            response
        })),
    }
}

async fn by_cookie(
    goat: &Goat,
    origin: &Origin,
    cookies: &SessionCookies,
) -> Result<Response, Problem> {
    let refreshed = goat.refresh(&cookies.refresh_token()?, origin).await?;
    let mut response = Data::new(TokenExpiries::from(&refreshed.tokens)).into_response();
    cookies.put(&refreshed.tokens, response.headers_mut())?;
    Ok(response)
}
