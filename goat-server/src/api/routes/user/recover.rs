//! `POST /api/v1/user/{id}/recover`

use std::sync::Arc;

use axum::extract::State;
use goat_core::{Goat, UserId};
use goat_tower::{FreshPrincipal, Origin, Problem};
use http::StatusCode;

use super::admin::redirect_self;
use crate::api::Mount;
use crate::api::extract::{Id, NoQuery};

/// Start a user's password reset
///
/// Sends a message to the user, by which the user sets a new password. You learn neither the password nor the
/// link. The present password and the sessions of the user continue until then. To change your own password,
/// use `PATCH /api/v1/user/change-password`.
#[utoipa::path(
    post,
    path = "/api/v1/user/{id}/recover",
    operation_id = "recoverUser",
    tag = "Users",
    params(("id" = String, Path, description = "The id of the user.")),
    responses(
        (status = 202, description = "A message is sent to the user."),
        (status = 403, description = "`outranked`: the user is yourself, or the user's role is not below your own or has a permission that yours lacks."),
        (status = 404, description = "`not-found`: no such user exists."),
        (status = 409, description = "`invalid-transition`: the user is a service account, which has no password."),
    ),
)]
pub(crate) async fn start(
    State(goat): State<Goat>,
    State(mount): State<Arc<Mount>>,
    me: FreshPrincipal,
    Id(id): Id<UserId>,
    _: NoQuery,
    origin: Origin,
) -> Result<StatusCode, Problem> {
    let instead = || {
        let prefix = mount.accounts()?;
        Some(format!(
            "To change your own password, use PATCH {prefix}/api/v1/user/change-password."
        ))
    };
    let explain = redirect_self(me.user(), id, instead);
    goat.users().start_recovery(me.into(), id, &origin).await.map_err(explain)?;
    Ok(StatusCode::ACCEPTED)
}
