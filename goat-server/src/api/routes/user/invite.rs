//! `POST /api/v1/user/invite` and `POST /api/v1/user/{id}/invite`

use std::sync::Arc;

use axum::extract::State;
use goat_core::{Email, Goat, Role, UserId};
use goat_tower::{FreshPrincipal, Origin, Problem};
use http::StatusCode;
use utoipa::ToSchema;

use crate::api::extract::{Fields, FromFieldsWith, Id, Json, NoQuery, Refused};
use crate::api::routes::{known_role, person_email};
use crate::api::view::{Created, Data, User};
use crate::api::{AppState, Mount};

/// The user to invite.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InviteBody {
    /// The e-mail address, at most 254 bytes. Surrounding white space is removed.
    #[schema(value_type = String, format = Email, example = "ann@example.org")]
    email: Email,
    /// The role, which the current user must be allowed to assign. Default: the role given at sign-up.
    #[schema(value_type = Option<String>, nullable = false, example = "client")]
    role: Role,
}

impl FromFieldsWith<AppState> for InviteBody {
    fn from_fields_with(fields: &mut Fields, state: &AppState) -> Result<Self, Refused> {
        let email = fields.parse("email", person_email);
        let role = fields.optional_parse("role", |name| known_role(&state.goat, name));
        let (email, role) = (email?, role?);
        let roles = state.goat.roles();
        let default = || roles.at_signup().unwrap_or_else(|| roles.lowest());
        Ok(Self { email, role: role.unwrap_or_else(default) })
    }
}

/// Invite a user
///
/// Creates an inactive user without a password, and sends a message by which the user chooses a password and
/// becomes active. Messages count against a limit of their recipient.
#[utoipa::path(
    post,
    path = "/api/v1/user/invite",
    operation_id = "inviteUser",
    tag = "Users",
    responses(
        (status = 201, description = "The invited user.", body = Data<User>,
            headers(("Location" = String, description = "The path of the invited user."))),
        (status = 403, description = "`role-not-assignable`: you may not assign this role."),
        (status = 409, description = "`email-taken`: another account has this e-mail address."),
    ),
)]
pub(crate) async fn invite(
    State(goat): State<Goat>,
    State(mount): State<Arc<Mount>>,
    me: FreshPrincipal,
    _: NoQuery,
    origin: Origin,
    Json(InviteBody { email, role }): Json<InviteBody>,
) -> Result<Created<User>, Problem> {
    let user = goat.users().invite(me.into(), email, role, &origin).await?;
    Ok(User::from(user).created(&mount))
}

/// Send an invitation again
///
/// Sends the message of an invitation again. The link of the earlier one no longer works.
#[utoipa::path(
    post,
    path = "/api/v1/user/{id}/invite",
    operation_id = "inviteUserAgain",
    tag = "Users",
    params(("id" = String, Path, description = "The id of the user.")),
    responses(
        (status = 202, description = "A message is sent to the user."),
        (status = 403, description = "`outranked`: the user is yourself, or the user's role is not below your own or has a permission that yours lacks."),
        (status = 404, description = "`not-found`: no such user exists."),
        (status = 409, description = "`invalid-transition`: the user has accepted the invitation, or was not invited."),
    ),
)]
pub(crate) async fn invite_again(
    State(goat): State<Goat>,
    me: FreshPrincipal,
    Id(id): Id<UserId>,
    _: NoQuery,
    origin: Origin,
) -> Result<StatusCode, Problem> {
    goat.users().invite_again(me.into(), id, &origin).await?;
    Ok(StatusCode::ACCEPTED)
}
