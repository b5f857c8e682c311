//! `/api/v1/keys`: the API keys of the current user.

use std::time::Duration;

use axum::extract::State;
use goat_core::key::{NewKey, Scopes};
use goat_core::{Goat, KeyId, Permission};
use goat_tower::{Principal, Problem, RecentPrincipal};
use http::StatusCode;
use utoipa::ToSchema;

use crate::api::extract::{Fields, FromFields, Id, Json, NoQuery, Page, Query, Refused};
use crate::api::schemas;
use crate::api::view::{self, Created, CreatedKey, Data, Key};

/// The API key to create.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateKeyBody {
    /// The name, for people: 1 to 100 characters, none of them a control one.
    #[schema(value_type = String, min_length = 1, max_length = 100, example = "nightly report")]
    name: String,
    /// The rights of the key.
    #[schema(schema_with = schemas::scopes)]
    scopes: Scopes,
    /// The life in seconds: at most that of the server's configuration, `GOAT_KEY_TTL`, 365 days unless it
    /// says otherwise, which is also the default.
    #[schema(value_type = Option<u32>, nullable = false, minimum = 1, maximum = 31_536_000, example = 2_592_000)]
    expires_in: Option<Duration>,
}

impl FromFields for CreateKeyBody {
    fn from_fields(fields: &mut Fields) -> Result<Self, Refused> {
        let name = fields.string("name");
        let scopes =
            fields.list_or_all("scopes", 0..=goat_core::key::MAX_SCOPES, Permission::parse);
        let expires_in = fields.optional_integer("expires_in", 1..=u32::MAX);
        let scopes = match scopes? {
            None => Scopes::Role,
            Some(permissions) => Scopes::only(permissions)
                .map_err(|invalid| fields.refuse("scopes", invalid.to_string()))?,
        };
        let expires_in = expires_in?.map(|seconds| Duration::from_secs(seconds.into()));
        Ok(Self { name: name?, scopes, expires_in })
    }
}

impl From<CreateKeyBody> for NewKey {
    fn from(CreateKeyBody { name, scopes, expires_in }: CreateKeyBody) -> Self {
        Self { name, scopes, expires_in }
    }
}

/// Create an API key
///
/// An API key is a credential for programs. It has the rights of the current user, cut by its scopes, as they
/// are at each use. Its text is in this response only: the server keeps a hash. It stays valid when the
/// password changes.
#[utoipa::path(
    post,
    path = "/api/v1/keys",
    operation_id = "createKey",
    tag = "API keys",
    responses(
        (status = 201, description = "The created key, with its text.", body = Data<CreatedKey>),
        (status = 409, description = "`too-many`: you have as many keys as are allowed."),
    ),
)]
pub(crate) async fn create(
    State(goat): State<Goat>,
    me: RecentPrincipal,
    _: NoQuery,
    Json(new): Json<CreateKeyBody>,
) -> Result<Created<CreatedKey>, Problem> {
    Ok(CreatedKey::created(goat.keys().create(me.into(), new.into()).await?))
}

/// List the current user's API keys
///
/// Returns the keys newest first, expired ones included, without their texts.
#[utoipa::path(
    get,
    path = "/api/v1/keys",
    operation_id = "listKeys",
    tag = "API keys",
    params(Page),
    responses((status = 200, description = "A page of keys.", body = view::Page<Key>)),
)]
pub(crate) async fn list(
    State(goat): State<Goat>,
    me: Principal,
    Query(page): Query<Page>,
) -> Result<view::Page<Key>, Problem> {
    let keys = goat.keys().list(&me, page.into()).await?;
    Ok(view::Page::new(keys.items.into_iter().map(Key::from), page, keys.total))
}

/// Revoke an API key
///
/// Revokes one key of the current user. It stops working immediately.
#[utoipa::path(
    delete,
    path = "/api/v1/keys/{id}",
    operation_id = "revokeKey",
    tag = "API keys",
    params(("id" = String, Path, description = "The id of the key.")),
    responses(
        (status = 204, description = "The key is revoked."),
        (status = 404, description = "`not-found`: the current user has no such key."),
    ),
)]
pub(crate) async fn revoke(
    State(goat): State<Goat>,
    me: Principal,
    Id(id): Id<KeyId>,
    _: NoQuery,
) -> Result<StatusCode, Problem> {
    goat.keys().revoke(&me, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
