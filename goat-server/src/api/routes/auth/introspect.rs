//! `POST /api/v1/auth/introspect` (RFC 7662)

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use goat_core::auth::Assurance;
use goat_core::{Goat, Permission, Timestamp};
use goat_tower::Problem;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::extract::{NoQuery, TokenForm};
use crate::api::view::json;

/// The token or API key of a form. Other parameters are ignored.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes the form; `TokenForm` reads it")]
pub(crate) struct TokenFormBody {
    /// The token or API key.
    #[schema(min_length = 1)]
    token: String,
}

/// Whether a token or an API key is active; the other members are present if it is, where they apply.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Introspection {
    /// Whether it is valid now.
    active: bool,
    /// The id of the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, value_type = Option<String>, example = "01KDWMBY00C8X0F4ZCV7J3T9QH")]
    sub: Option<String>,
    /// The permissions that it gives now, separated by spaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, value_type = Option<String>, example = "report:read user:read")]
    scope: Option<String>,
    /// The client that the token was issued to; absent of an API key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, value_type = Option<String>, example = "goat")]
    client_id: Option<String>,
    /// The expiry, in seconds since 1970; absent of an API key without an end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, value_type = Option<i64>)]
    exp: Option<i64>,
    /// The time of issue, or of the key's creation, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, value_type = Option<i64>)]
    iat: Option<i64>,
    /// The assurance of the session; absent of an API key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, value_type = Option<String>, example = "single")]
    acr: Option<&'static str>,
    /// The methods by which the user authenticated (RFC 8176).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, example = json!(["pwd"]))]
    amr: Vec<String>,
    /// The time at which the user last authenticated for the session, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, value_type = Option<i64>)]
    auth_time: Option<i64>,
    /// The user's role; absent of an API key that has less than it, by its scopes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, value_type = Option<String>, example = "client")]
    goat_role: Option<String>,
    /// The id of the API key; absent of an access token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, value_type = Option<String>, example = "01KDWMBY00C8X0F4ZCV7J3T9QH")]
    goat_key: Option<String>,
}

impl From<goat_core::auth::Introspection> for Introspection {
    fn from(found: goat_core::auth::Introspection) -> Self {
        let scope: Vec<&str> = found.permissions.iter().map(Permission::as_str).collect();
        Self {
            active: true,
            sub: Some(found.user.to_string()),
            // Of RFC 6749's grammar, which has no empty scope.
            scope: Some(scope.join(" ")).filter(|scope| !scope.is_empty()),
            client_id: found.client_id,
            exp: found.expires_at.map(Timestamp::as_seconds),
            iat: Some(found.issued_at.as_seconds()),
            acr: found.assurance.map(Assurance::as_str),
            amr: found.amr,
            auth_time: found.authenticated_at.map(Timestamp::as_seconds),
            goat_role: found.role.map(|role| role.as_str().to_owned()),
            goat_key: found.key.map(|key| key.to_string()),
        }
    }
}

impl IntoResponse for Introspection {
    fn into_response(self) -> Response {
        json(StatusCode::OK, &self)
    }
}

/// Introspect a token
///
/// Tells another service whether an access token or an API key is valid now, and the rights behind it (RFC
/// 7662). Role and permissions are those of now, not of the token's issue, and of a key those of its scopes.
/// Anything else, refresh tokens included, is `{"active": false}`, without a reason.
#[utoipa::path(
    post,
    path = "/api/v1/auth/introspect",
    operation_id = "introspectToken",
    tag = "Authentication",
    request_body(content = TokenFormBody, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "Whether the token is active, and its properties.", body = Introspection)),
)]
pub(crate) async fn introspect(
    State(goat): State<Goat>,
    _: NoQuery,
    TokenForm(token): TokenForm,
) -> Result<Introspection, Problem> {
    let found = goat.introspect(token.expose()).await?;
    Ok(found.map(Introspection::from).unwrap_or_default())
}
