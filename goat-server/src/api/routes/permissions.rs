//! `/api/v1/permission`: the permissions of roles.

use axum::extract::State;
use goat_core::access::InvalidPermission;
use goat_core::{Goat, GrantId, Role};
use goat_tower::{FreshPrincipal, Problem};
use http::StatusCode;
use utoipa::ToSchema;

use super::known_role;
use crate::api::AppState;
use crate::api::extract::{
    Fields, FromFieldsWith, Id, Json, NoQuery, Page, Query, Refused, Segment,
};
use crate::api::view::{self, Created, Data, Permission};

/// List permissions
///
/// Returns the permissions of all roles, in the order in which they were granted.
#[utoipa::path(
    get,
    path = "/api/v1/permission",
    operation_id = "listPermissions",
    tag = "Permissions",
    params(Page),
    responses((status = 200, description = "A page of permissions.", body = view::Page<Permission>)),
)]
pub(crate) async fn list(
    State(goat): State<Goat>,
    Query(page): Query<Page>,
) -> Result<view::Page<Permission>, Problem> {
    let grants = goat.roles().grants(page.into()).await?;
    Ok(view::Page::new(grants.items.into_iter().map(Permission::from), page, grants.total))
}

/// List a role's permissions
#[utoipa::path(
    get,
    path = "/api/v1/permission/{key}",
    operation_id = "listRolePermissions",
    tag = "Permissions",
    params(("key" = String, Path, description = "The name of the role.", example = "operator")),
    responses(
        (status = 200, description = "The permissions of the role.", body = Data<Vec<Permission>>),
        (status = 404, description = "`not-found`: no such role exists."),
    ),
)]
pub(crate) async fn of_role(
    State(goat): State<Goat>,
    Segment(role): Segment,
    _: NoQuery,
) -> Result<Data<Vec<Permission>>, Problem> {
    let grants = goat.roles().grants_of(&role).await?;
    Ok(Data::new(grants.into_iter().map(Permission::from).collect()))
}

/// The permission to grant.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GrantBody {
    /// The role that receives the permission.
    #[schema(value_type = String, example = "operator")]
    role: Role,
    /// `resource:verb` or `resource:*`. The highest role may also have `full_access`.
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

/// Grant a permission
///
/// Grants a permission to a role, with immediate effect.
#[utoipa::path(
    post,
    path = "/api/v1/permission",
    operation_id = "grantPermission",
    tag = "Permissions",
    responses(
        (status = 201, description = "The granted permission.", body = Data<Permission>),
        (status = 409, description = "`permission-exists`: the role already has this permission."),
    ),
)]
pub(crate) async fn grant(
    State(goat): State<Goat>,
    me: FreshPrincipal,
    _: NoQuery,
    Json(GrantBody { role, action }): Json<GrantBody>,
) -> Result<Created<Permission>, Problem> {
    let grant = goat.roles().grant(me.into(), role.as_str(), action).await?;
    Ok(Created { data: grant.into(), location: None })
}

/// Revoke a permission
///
/// Removes a permission from its role, with immediate effect.
#[utoipa::path(
    delete,
    path = "/api/v1/permission/{key}",
    operation_id = "revokePermission",
    tag = "Permissions",
    params(("key" = String, Path, description = "The id of the permission.", example = "01KDWMBY00C8X0F4ZCV7J3T9QH")),
    responses(
        (status = 204, description = "The permission is revoked."),
        (status = 404, description = "`not-found`: no such permission exists."),
        (status = 409, description = "`last-administrator`: no user would be left with `full_access`."),
    ),
)]
pub(crate) async fn revoke(
    State(goat): State<Goat>,
    me: FreshPrincipal,
    Id(id): Id<GrantId>,
    _: NoQuery,
) -> Result<StatusCode, Problem> {
    goat.roles().revoke(me.into(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}
