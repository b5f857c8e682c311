//! `POST /api/v1/auth/refresh`

use axum::extract::State;
use goat_core::{Goat, Secret};
use goat_tower::{Origin, Problem};
use utoipa::ToSchema;

use crate::api::extract::{Fields, FromFields, Json, NoQuery, Refused};
use crate::api::view::{Data, Tokens};

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
/// token ends the session. A token from before a change of the password is `session-revoked` and ends
/// nothing.
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
