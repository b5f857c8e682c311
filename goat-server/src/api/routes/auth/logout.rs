//! `POST /api/v1/auth/logout`

use axum::extract::State;
use goat_core::Goat;
use goat_tower::{Origin, Principal, Problem};
use http::StatusCode;

use crate::api::extract::NoQuery;

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
