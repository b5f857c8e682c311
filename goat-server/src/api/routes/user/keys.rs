//! `/api/v1/user/{id}/keys`: the API keys of service accounts, and of other users.

use std::sync::Arc;

use axum::extract::State;
use goat_core::{Goat, KeyId, UserId};
use goat_tower::{FreshPrincipal, Principal, Problem, RecentPrincipal};
use http::StatusCode;

use super::admin::redirect_self;
use crate::api::Mount;
use crate::api::extract::{Id, Ids, Json, NoQuery, Page, Query};
use crate::api::routes::keys::CreateKeyBody;
use crate::api::view::{self, Created, CreatedKey, Data, Key};

/// Create an API key of a service account
///
/// The key has the rights of the service account, cut by its scopes, as they are at each use. Its text is in
/// this response only: the server keeps a hash. To create a key of your own, use `POST /api/v1/keys`.
#[utoipa::path(
    post,
    path = "/api/v1/user/{id}/keys",
    operation_id = "createUserKey",
    tag = "Users",
    params(("id" = String, Path, description = "The id of the service account.")),
    responses(
        (status = 201, description = "The created key, with its text.", body = Data<CreatedKey>),
        (status = 403, description = "`outranked`: the user is yourself, or the user's role is not below your own or has a permission that yours lacks."),
        (status = 404, description = "`not-found`: no such user exists."),
        (status = 409, description = "`invalid-transition`: the user is a person. `too-many`: the service account has as many keys as are allowed."),
    ),
)]
pub(crate) async fn create(
    State(goat): State<Goat>,
    State(mount): State<Arc<Mount>>,
    me: RecentPrincipal,
    Id(id): Id<UserId>,
    _: NoQuery,
    Json(new): Json<CreateKeyBody>,
) -> Result<Created<CreatedKey>, Problem> {
    let instead = || {
        let prefix = mount.accounts()?;
        Some(format!("To create a key of your own, use POST {prefix}/api/v1/keys."))
    };
    let explain = redirect_self(me.user(), id, instead);
    let me = goat_core::RecentPrincipal::from(me);
    let created = goat.keys().create_for(me.into(), id, new.into()).await.map_err(explain)?;
    Ok(CreatedKey::created(created))
}

/// List a user's API keys
///
/// Returns the keys newest first, expired ones included, without their texts.
#[utoipa::path(
    get,
    path = "/api/v1/user/{id}/keys",
    operation_id = "listUserKeys",
    tag = "Users",
    params(("id" = String, Path, description = "The id of the user."), Page),
    responses(
        (status = 200, description = "A page of keys.", body = view::Page<Key>),
        (status = 403, description = "`outranked`: the user's role is not below your own or has a permission that yours lacks."),
        (status = 404, description = "`not-found`: no such user exists."),
    ),
)]
pub(crate) async fn list(
    State(goat): State<Goat>,
    me: Principal,
    Id(id): Id<UserId>,
    Query(page): Query<Page>,
) -> Result<view::Page<Key>, Problem> {
    let keys = goat.keys().list_of(&me, id, page.into()).await?;
    Ok(view::Page::new(keys.items.into_iter().map(Key::from), page, keys.total))
}

/// Revoke a user's API key
///
/// Revokes one key of a service account or of a person. It stops working immediately. To revoke a key of your
/// own, use `DELETE /api/v1/keys/{id}`.
#[utoipa::path(
    delete,
    path = "/api/v1/user/{id}/keys/{key}",
    operation_id = "revokeUserKey",
    tag = "Users",
    params(
        ("id" = String, Path, description = "The id of the user."),
        ("key" = String, Path, description = "The id of the key."),
    ),
    responses(
        (status = 204, description = "The key is revoked."),
        (status = 403, description = "`outranked`: the user is yourself, or the user's role is not below your own or has a permission that yours lacks."),
        (status = 404, description = "`not-found`: no such user exists, or the user has no such key."),
    ),
)]
pub(crate) async fn revoke(
    State(goat): State<Goat>,
    State(mount): State<Arc<Mount>>,
    me: FreshPrincipal,
    Ids(id, key): Ids<UserId, KeyId>,
    _: NoQuery,
) -> Result<StatusCode, Problem> {
    let instead = || {
        let prefix = mount.accounts()?;
        Some(format!("To revoke a key of your own, use DELETE {prefix}/api/v1/keys/{{id}}."))
    };
    let explain = redirect_self(me.user(), id, instead);
    goat.keys().revoke_of(me.into(), id, key).await.map_err(explain)?;
    Ok(StatusCode::NO_CONTENT)
}
