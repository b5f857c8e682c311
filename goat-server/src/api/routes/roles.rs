//! `/api/v1/role`

use axum::extract::State;
use goat_core::Goat;
use goat_tower::Problem;

use crate::api::extract::NoQuery;
use crate::api::view::{Data, Role};

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
