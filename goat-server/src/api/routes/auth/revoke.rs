//! `POST /api/v1/auth/revoke` (RFC 7009)

use axum::extract::State;
use goat_core::Goat;
use goat_tower::{Origin, Problem};
use http::StatusCode;

use super::introspect::TokenFormBody;
use crate::api::extract::{NoQuery, TokenForm};

/// Revoke a token
///
/// Ends the session of an access token, also of an expired one, or of a refresh token, or revokes an API key
/// (RFC 7009). Anything else changes nothing: a token or key that is unknown, forged or revoked, or a token
/// from before a change of the password. The response is the same.
#[utoipa::path(
    post,
    path = "/api/v1/auth/revoke",
    operation_id = "revokeToken",
    tag = "Authentication",
    request_body(content = TokenFormBody, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "The token or key is not valid, or no longer. Without a body.")),
)]
pub(crate) async fn revoke(
    State(goat): State<Goat>,
    _: NoQuery,
    origin: Origin,
    TokenForm(token): TokenForm,
) -> Result<StatusCode, Problem> {
    goat.revoke_token(token.expose(), &origin).await?;
    Ok(StatusCode::OK)
}
