//! Permissions: what roles may do.

use axum::extract::State;
use goat_core::access::InvalidPermission;
use goat_core::{Goat, GrantId, Role};
use http::StatusCode;
use utoipa::ToSchema;

use super::{actor, known_role};
use crate::extract::{
    Caller, Fields, FromFieldsWith, Id, Json, NoQuery, Page, Query, Refused, Segment,
};
use crate::http::ApiError;
use crate::present::{self, Created, Data, Permission};
use crate::state::AppState;

/// List all permissions.
///
/// In the order in which they were granted.
#[utoipa::path(
    get,
    path = "/api/v1/permission",
    operation_id = "listPermissions",
    tag = "access",
    params(Page),
    responses((status = 200, description = "A page of permissions.", body = present::Page<Permission>)),
)]
pub(crate) async fn list(
    State(goat): State<Goat>,
    Query(page): Query<Page>,
) -> Result<present::Page<Permission>, ApiError> {
    let grants = goat.roles().grants(page.into()).await?;
    Ok(present::Page::new(grants.items.into_iter().map(Permission::from), page, grants.total))
}

/// List a role's permissions.
#[utoipa::path(
    get,
    path = "/api/v1/permission/{key}",
    operation_id = "listRolePermissions",
    tag = "access",
    params(("key" = String, Path, description = "The name of a role.", example = "operator")),
    responses(
        (status = 200, description = "What the role may do.", body = Data<Vec<Permission>>),
        (status = 404, description = "`not-found`: there is no such role."),
    ),
)]
pub(crate) async fn of_role(
    State(goat): State<Goat>,
    Segment(role): Segment,
    _: NoQuery,
) -> Result<Data<Vec<Permission>>, ApiError> {
    let grants = goat.roles().grants_of(&role).await?;
    Ok(Data::new(grants.into_iter().map(Permission::from).collect()))
}

/// What a role is to be able to do.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GrantBody {
    /// The name of the role.
    #[schema(value_type = String, example = "operator")]
    role: Role,
    /// `resource:verb`, `resource:*`, or for the highest role `full_access`.
    #[schema(value_type = String, example = "report:read")]
    action: goat_core::Permission,
}

impl FromFieldsWith<AppState> for GrantBody {
    fn from_fields_with(fields: &mut Fields, state: &AppState) -> Result<Self, Refused> {
        let role = fields.parse("role", |name| known_role(&state.goat, name));
        let action = fields.parse::<_, InvalidPermission>("action", goat_core::Permission::parse);
        Ok(Self { role: role?, action: action? })
    }
}

/// Give a role a permission.
///
/// In force when this is answered.
#[utoipa::path(
    post,
    path = "/api/v1/permission",
    operation_id = "grantPermission",
    tag = "access",
    responses(
        (status = 201, description = "The permission.", body = Data<Permission>),
        (status = 409, description = "`permission-exists`."),
    ),
)]
pub(crate) async fn grant(
    State(goat): State<Goat>,
    Caller(caller): Caller,
    _: NoQuery,
    Json(GrantBody { role, action }): Json<GrantBody>,
) -> Result<Created<Permission>, ApiError> {
    let actor = actor(&goat, &caller).await?;
    let grant = goat.roles().grant(actor, role.as_str(), action).await?;
    Ok(Created { data: grant.into(), location: None })
}

/// Take a permission away.
///
/// In force when this is answered.
#[utoipa::path(
    delete,
    path = "/api/v1/permission/{key}",
    operation_id = "revokePermission",
    tag = "access",
    params(("key" = String, Path, description = "The permission's id.", example = "01KDWMBY00C8X0F4ZCV7J3T9QH")),
    responses(
        (status = 204, description = "The role has it no more."),
        (status = 404, description = "`not-found`."),
        (status = 409, description = "`last-administrator`: nobody would be left with `full_access`."),
    ),
)]
pub(crate) async fn revoke(
    State(goat): State<Goat>,
    Caller(caller): Caller,
    Id(id): Id<GrantId>,
    _: NoQuery,
) -> Result<StatusCode, ApiError> {
    let actor = actor(&goat, &caller).await?;
    goat.roles().revoke(actor, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
