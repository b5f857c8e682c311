//! `/api/v1/role`: the roles, with their ranks.

use std::sync::Arc;

use axum::extract::State;
use goat_core::access::{InvalidPermission, NewRole, Rank};
use goat_core::{Goat, Permission};
use goat_tower::{FreshPrincipal, Problem};
use http::StatusCode;
use utoipa::ToSchema;

use crate::api::Mount;
use crate::api::extract::{Fields, FromFields, Json, NoQuery, Refused, Segment};
use crate::api::view::{Created, Data, Role};

/// The most permissions that a role is created with.
pub(crate) const MAX_PERMISSIONS: usize = 100;

/// List roles
///
/// Returns every role with its permissions, lowest rank first.
#[utoipa::path(
    get,
    path = "/api/v1/role",
    operation_id = "listRoles",
    tag = "Permissions",
    responses((status = 200, description = "The roles.", body = Data<Vec<Role>>)),
)]
pub(crate) async fn list(State(goat): State<Goat>, _: NoQuery) -> Result<Data<Vec<Role>>, Problem> {
    let roles = goat.roles().list().await?;
    Ok(Data::new(roles.into_iter().map(Role::from).collect()))
}

/// The role to create.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateRoleBody {
    /// 1 to 32 characters of `a-z`, `0-9`, `_` and `-`, the first one a letter.
    #[schema(value_type = String, example = "support")]
    name: goat_core::Role,
    /// The rank, below that of the highest role. Several roles may share a rank; their users do not
    /// manage each other.
    #[schema(value_type = u32, example = 300)]
    rank: Rank,
    /// `resource:verb` or `resource:*`, at most 100. A repeated one is granted once.
    #[schema(value_type = Option<Vec<String>>, nullable = false, example = json!(["ticket:*"]))]
    permissions: Vec<Permission>,
}

impl FromFields for CreateRoleBody {
    fn from_fields(fields: &mut Fields) -> Result<Self, Refused> {
        let name = fields.parse("name", goat_core::Role::parse_new);
        let rank = rank(fields);
        let permissions = fields.optional_list("permissions", 0..=MAX_PERMISSIONS, grantable);
        let (name, rank, permissions) = (name?, rank?, permissions?);
        Ok(Self { name, rank, permissions: permissions.unwrap_or_default() })
    }
}

fn rank(fields: &mut Fields) -> Result<Rank, Refused> {
    let Rank(highest) = Rank::HIGHEST_ASSIGNABLE;
    fields.integer("rank", 0..=highest).map(Rank)
}

/// `full_access` is of the highest role alone, which exists.
fn grantable(text: &str) -> Result<Permission, InvalidPermission> {
    Permission::parse(text).ok().filter(|one| !one.is_full_access()).ok_or(InvalidPermission)
}

/// Create a role
///
/// Takes effect immediately. A server has at most 1,000 roles.
#[utoipa::path(
    post,
    path = "/api/v1/role",
    operation_id = "createRole",
    tag = "Permissions",
    responses(
        (status = 201, description = "The created role.", body = Data<Role>,
            headers(("Location" = String, description = "The path of the created role."))),
        (status = 409, description = "`role-exists`: a role of this name exists. `too-many`: there are 1,000 roles."),
    ),
)]
pub(crate) async fn create(
    State(goat): State<Goat>,
    State(mount): State<Arc<Mount>>,
    me: FreshPrincipal,
    _: NoQuery,
    Json(CreateRoleBody { name, rank, permissions }): Json<CreateRoleBody>,
) -> Result<Created<Role>, Problem> {
    let role = goat.roles().create(me.into(), NewRole { name, rank, permissions }).await?;
    let location = mount.location(format_args!("/api/v1/role/{}", role.role));
    Ok(Created { data: role.into(), location })
}

/// The new rank.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RankBody {
    /// The rank, below that of the highest role.
    #[schema(value_type = u32, example = 300)]
    rank: Rank,
}

impl FromFields for RankBody {
    fn from_fields(fields: &mut Fields) -> Result<Self, Refused> {
        Ok(Self { rank: rank(fields)? })
    }
}

/// Change a role's rank
///
/// Takes effect immediately, also in open sessions. Setting the present rank succeeds and changes
/// nothing. Unless the server's settings name the role given at sign-up, it is the one of the lowest rank.
#[utoipa::path(
    patch,
    path = "/api/v1/role/{name}",
    operation_id = "setRoleRank",
    tag = "Permissions",
    params(("name" = String, Path, description = "The name of the role.", example = "support")),
    responses(
        (status = 200, description = "The role.", body = Data<Role>),
        (status = 404, description = "`not-found`: no such role exists."),
        (status = 409, description = "`role-protected`: the highest role keeps its rank."),
    ),
)]
pub(crate) async fn set_rank(
    State(goat): State<Goat>,
    me: FreshPrincipal,
    Segment(name): Segment,
    _: NoQuery,
    Json(RankBody { rank }): Json<RankBody>,
) -> Result<Data<Role>, Problem> {
    Ok(Data::new(goat.roles().set_rank(me.into(), &name, rank).await?.into()))
}

/// Delete a role
///
/// Its permissions go with it. Takes effect immediately.
#[utoipa::path(
    delete,
    path = "/api/v1/role/{name}",
    operation_id = "deleteRole",
    tag = "Permissions",
    params(("name" = String, Path, description = "The name of the role.", example = "support")),
    responses(
        (status = 204, description = "The role is deleted."),
        (status = 404, description = "`not-found`: no such role exists."),
        (status = 409, description = "`role-in-use`: users have the role; `users` is their number, exact up to 10,000. `role-protected`: the role is the highest one, or the one given at sign-up."),
    ),
)]
pub(crate) async fn delete(
    State(goat): State<Goat>,
    me: FreshPrincipal,
    Segment(name): Segment,
    _: NoQuery,
) -> Result<StatusCode, Problem> {
    goat.roles().delete(me.into(), &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
