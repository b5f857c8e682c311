//! `POST /api/v1/user/service`: service accounts, the users of programs.

use std::sync::Arc;

use axum::extract::State;
use goat_core::user::{NewService, ServiceName};
use goat_core::{Goat, Role};
use goat_tower::{FreshPrincipal, Problem};
use utoipa::ToSchema;

use crate::api::extract::{Fields, FromFieldsWith, Json, NoQuery, Refused};
use crate::api::routes::known_role;
use crate::api::view::{Created, Data, User};
use crate::api::{AppState, Mount};

/// The service account to create.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateServiceBody {
    /// The name: 1 to 64 ASCII letters and digits, with single dots, hyphens and underscores between them. The
    /// address is `<name>@service.invalid`.
    #[schema(value_type = String, min_length = 1, max_length = 64, example = "backup")]
    name: ServiceName,
    /// The role, which the current user must be allowed to assign. Default: the role given at sign-up.
    #[schema(value_type = Option<String>, nullable = false, example = "operator")]
    role: Role,
}

impl FromFieldsWith<AppState> for CreateServiceBody {
    fn from_fields_with(fields: &mut Fields, state: &AppState) -> Result<Self, Refused> {
        let name = fields.parse("name", ServiceName::parse);
        let role = fields.optional_parse("role", |name| known_role(&state.goat, name));
        let (name, role) = (name?, role?);
        let roles = state.goat.roles();
        let default = || roles.at_signup().unwrap_or_else(|| roles.lowest());
        Ok(Self { name, role: role.unwrap_or_else(default) })
    }
}

/// Create a service account
///
/// A service account is an active user for a program, with an address in `service.invalid`. It has a role and a
/// rank as any user, can be suspended and deleted, and cannot sign in. It keeps its address, and does not
/// count as an administrator.
#[utoipa::path(
    post,
    path = "/api/v1/user/service",
    operation_id = "createServiceAccount",
    tag = "Users",
    responses(
        (status = 201, description = "The created service account.", body = Data<User>,
            headers(("Location" = String, description = "The path of the created user."))),
        (status = 403, description = "`role-not-assignable`: you may not assign this role."),
        (status = 409, description = "`email-taken`: another service account has this name."),
    ),
)]
pub(crate) async fn create(
    State(goat): State<Goat>,
    State(mount): State<Arc<Mount>>,
    me: FreshPrincipal,
    _: NoQuery,
    Json(CreateServiceBody { name, role }): Json<CreateServiceBody>,
) -> Result<Created<User>, Problem> {
    let user = goat.users().create_service(me.into(), NewService { name, role }).await?;
    Ok(User::from(user).created(&mount))
}
