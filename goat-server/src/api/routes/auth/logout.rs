//! `POST /api/v1/auth/logout`

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use goat_core::Goat;
use goat_tower::{Origin, Principal, Problem};
use http::StatusCode;

use crate::api::extract::{NoQuery, SessionCookies};

/// Sign out
///
/// Ends the current session. Its access token and refresh token stop working immediately. If the access
/// token is in a cookie, both cookies are cleared.
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
    cookies: SessionCookies,
) -> Result<Response, Problem> {
    goat.logout(&me, &origin).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Some(cookies) = cookies.of_principal() {
        cookies.clear(response.headers_mut());
    }
    Ok(response)
}
