//! Administration of other users.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::State;
use goat_core::user::{NewUser, UserUpdate};
use goat_core::{Email, Error, ErrorKind, Goat, Role, Secret, Status, UserId};
use goat_tower::{FreshPrincipal, Principal, Problem};
use http::StatusCode;
use utoipa::ToSchema;

use crate::api::extract::{
    Fields, FromFields, FromFieldsWith, Id, Json, NoQuery, Page, Query, Refused,
};
use crate::api::routes::sessions::Revoked;
use crate::api::routes::{known_role, new_password, person_email};
use crate::api::view::{self, Created, Data, Session, User};
use crate::api::{AppState, Mount};

/// Names the route for the current user's own account when an administrator acts on their own
/// account.
pub(super) fn redirect_self<T: Into<Cow<'static, str>>>(
    me: UserId,
    id: UserId,
    instead: impl FnOnce() -> Option<T>,
) -> impl FnOnce(Error) -> Error {
    move |error| match error.kind() {
        ErrorKind::Outranked if me == id => match instead() {
            Some(instead) => error.with_client_message(instead),
            None => error,
        },
        _ => error,
    }
}

/// The user to create.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateBody {
    /// The e-mail address, at most 254 bytes. Surrounding white space is removed.
    #[schema(value_type = String, format = Email, example = "ann@example.org")]
    email: Email,
    /// 15 to 256 characters unless the server is configured otherwise. Common passwords and the
    /// e-mail address are rejected.
    #[schema(value_type = String, format = Password)]
    password: Secret<String>,
    /// The role, which the current user must be allowed to assign. Default: the role given at sign-up.
    #[schema(value_type = Option<String>, nullable = false, example = "client")]
    role: Role,
    /// `inactive` or `active`.
    #[schema(value_type = Option<String>, nullable = false, default = "active", example = "active")]
    status: Status,
}

impl FromFieldsWith<AppState> for CreateBody {
    fn from_fields_with(fields: &mut Fields, state: &AppState) -> Result<Self, Refused> {
        let email = fields.parse("email", person_email);
        let password = fields.secret("password").map(Some);
        let known = email.as_ref().ok();
        let password = new_password(fields, "password", password, known, &state.goat);
        let role = fields.optional_parse("role", |name| known_role(&state.goat, name));
        let status = fields.optional_parse("status", first_status);
        let (email, password, role, status) = (email?, password?, role?, status?);
        let password = password.ok_or_else(|| fields.refuse("password", "is required"))?;
        let roles = state.goat.roles();
        let default = || roles.at_signup().unwrap_or_else(|| roles.lowest());
        Ok(Self {
            email,
            password,
            role: role.unwrap_or_else(default),
            status: status.unwrap_or(Status::Active),
        })
    }
}

/// A new user cannot be suspended.
fn first_status(name: &str) -> Result<Status, &'static str> {
    let status = Status::parse(name).filter(|status| *status != Status::Suspended);
    status.ok_or("must be inactive or active for a new user")
}

/// Create a user
#[utoipa::path(
    post,
    path = "/api/v1/user",
    operation_id = "createUser",
    tag = "Users",
    responses(
        (status = 201, description = "The created user.", body = Data<User>,
            headers(("Location" = String, description = "The path of the created user."))),
        (status = 403, description = "`role-not-assignable`: you may not assign this role."),
        (status = 409, description = "`email-taken`: another account has this e-mail address."),
    ),
)]
pub(crate) async fn create(
    State(goat): State<Goat>,
    State(mount): State<Arc<Mount>>,
    me: FreshPrincipal,
    _: NoQuery,
    Json(CreateBody { email, password, role, status }): Json<CreateBody>,
) -> Result<Created<User>, Problem> {
    let user = goat
        .users()
        .create(me.into(), NewUser { email, password: Some(password), role, status })
        .await?;
    Ok(User::from(user).created(&mount))
}

/// The changes: at least one of the two members.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateBody {
    /// The new e-mail address, at most 254 bytes. Surrounding white space is removed.
    #[schema(value_type = Option<String>, nullable = false, format = Email, example = "ann@example.org")]
    email: Option<Email>,
    /// 15 to 256 characters unless the server is configured otherwise. Common passwords and the
    /// e-mail address are rejected. Must be absent on a server that sends mail: start a password reset by
    /// `POST /api/v1/user/{id}/recover`.
    #[schema(value_type = Option<String>, nullable = false, format = Password)]
    password: Option<Secret<String>>,
}

impl FromFieldsWith<AppState> for UpdateBody {
    fn from_fields_with(fields: &mut Fields, state: &AppState) -> Result<Self, Refused> {
        let email = fields.optional_parse("email", person_email);
        if state.goat.has_courier() {
            return email_only(fields, email);
        }
        let password = fields.optional_secret("password");
        let known = email.as_ref().ok().and_then(Option::as_ref);
        let password = new_password(fields, "password", password, known, &state.goat);
        let (email, password) = (email?, password?);
        if email.is_none() && password.is_none() {
            return Err(fields.refuse("email", "or password is required"));
        }
        Ok(Self { email, password })
    }
}

/// Requests the members where users reset their passwords by mail: an administrator sets none (M12).
fn email_only(
    fields: &mut Fields,
    email: Result<Option<Email>, Refused>,
) -> Result<UpdateBody, Refused> {
    let recover = "must be absent: start a password reset by POST /api/v1/user/{id}/recover";
    let password = fields.absent("password", recover);
    let (email, ()) = (email?, password?);
    let email = email.ok_or_else(|| fields.refuse("email", "is required"))?;
    Ok(UpdateBody { email: Some(email), password: None })
}

/// Update a user
///
/// Changes the e-mail address, the password or both. A new password ends all sessions of the user. On a server
/// that sends mail, only the user sets the password: see `POST /api/v1/user/{id}/recover`. To
/// update your own account, use `PATCH /api/v1/user/change-email` or
/// `PATCH /api/v1/user/change-password`.
#[utoipa::path(
    put,
    path = "/api/v1/user/{id}",
    operation_id = "updateUser",
    tag = "Users",
    params(("id" = String, Path, description = "The id of the user.")),
    responses(
        (status = 200, description = "The updated user.", body = Data<User>),
        (status = 403, description = "`outranked`: the user is yourself, or the user's role is not below your own or has a permission that yours lacks."),
        (status = 404, description = "`not-found`: no such user exists."),
        (status = 409, description = "`email-taken`: another account has this e-mail address. `invalid-transition`: the user is a service account, which has no password and keeps its address."),
    ),
)]
pub(crate) async fn update(
    State(goat): State<Goat>,
    State(mount): State<Arc<Mount>>,
    me: FreshPrincipal,
    Id(id): Id<UserId>,
    _: NoQuery,
    Json(UpdateBody { email, password }): Json<UpdateBody>,
) -> Result<Data<User>, Problem> {
    let instead = || {
        let own = format!("{}/api/v1/user", mount.accounts()?);
        Some(format!(
            "To change your own account, use PATCH {own}/change-email or PATCH {own}/change-password."
        ))
    };
    let explain = redirect_self(me.user(), id, instead);
    let user = goat
        .users()
        .update(me.into(), id, UserUpdate { email, password })
        .await
        .map_err(explain)?;
    Ok(Data::new(user.into()))
}

/// The new role.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeRoleBody {
    /// The role, which the current user must be allowed to assign.
    #[schema(value_type = String, example = "operator")]
    role: Role,
}

impl FromFieldsWith<AppState> for ChangeRoleBody {
    fn from_fields_with(fields: &mut Fields, state: &AppState) -> Result<Self, Refused> {
        Ok(Self { role: fields.parse("role", |name| known_role(&state.goat, name))? })
    }
}

/// Change a user's role
///
/// Takes effect immediately, also in the user's open sessions. Setting the present role succeeds and
/// changes nothing.
#[utoipa::path(
    patch,
    path = "/api/v1/user/{id}/change-role",
    operation_id = "changeRole",
    tag = "Users",
    params(("id" = String, Path, description = "The id of the user.")),
    responses(
        (status = 200, description = "The updated user.", body = Data<User>),
        (status = 403, description = "`outranked`: the user is yourself, or the user's role is not below your own or has a permission that yours lacks. `role-not-assignable`: you may not assign this role."),
        (status = 404, description = "`not-found`: no such user exists."),
        (status = 409, description = "`last-administrator`: no active administrator would be left."),
    ),
)]
pub(crate) async fn change_role(
    State(goat): State<Goat>,
    me: FreshPrincipal,
    Id(id): Id<UserId>,
    _: NoQuery,
    Json(ChangeRoleBody { role }): Json<ChangeRoleBody>,
) -> Result<Data<User>, Problem> {
    let instead = || Some("You cannot change your own role. Ask another administrator.");
    let explain = redirect_self(me.user(), id, instead);
    let user = goat.users().change_role(me.into(), id, role).await.map_err(explain)?;
    Ok(Data::new(user.into()))
}

/// The new status.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeStatusBody {
    /// `inactive`, `active` or `suspended`.
    #[schema(value_type = String, example = "suspended")]
    status: Status,
}

impl FromFields for ChangeStatusBody {
    fn from_fields(fields: &mut Fields) -> Result<Self, Refused> {
        let parse =
            |name: &str| Status::parse(name).ok_or("must be one of inactive, active, suspended");
        Ok(Self { status: fields.parse("status", parse)? })
    }
}

/// Change a user's status
///
/// An inactive user can become active, an active user suspended, and a suspended user active again.
/// Suspending a user ends all sessions of the user. Setting the present status succeeds and changes
/// nothing.
#[utoipa::path(
    patch,
    path = "/api/v1/user/{id}/change-status",
    operation_id = "changeStatus",
    tag = "Users",
    params(("id" = String, Path, description = "The id of the user.")),
    responses(
        (status = 200, description = "The updated user.", body = Data<User>),
        (status = 403, description = "`outranked`: the user is yourself, or the user's role is not below your own or has a permission that yours lacks."),
        (status = 404, description = "`not-found`: no such user exists."),
        (status = 409, description = "`invalid-transition`: the status cannot change this way. `last-administrator`: no active administrator would be left."),
    ),
)]
pub(crate) async fn change_status(
    State(goat): State<Goat>,
    me: FreshPrincipal,
    Id(id): Id<UserId>,
    _: NoQuery,
    Json(ChangeStatusBody { status }): Json<ChangeStatusBody>,
) -> Result<Data<User>, Problem> {
    let instead = || Some("You cannot change your own status. Ask another administrator.");
    let explain = redirect_self(me.user(), id, instead);
    let user = goat.users().change_status(me.into(), id, status).await.map_err(explain)?;
    Ok(Data::new(user.into()))
}

/// Delete a user
///
/// Deletes the account permanently and ends all sessions of the user. To delete your own account, use
/// `DELETE /api/v1/user`.
#[utoipa::path(
    delete,
    path = "/api/v1/user/{id}",
    operation_id = "deleteUser",
    tag = "Users",
    params(("id" = String, Path, description = "The id of the user.")),
    responses(
        (status = 204, description = "The user is deleted."),
        (status = 403, description = "`outranked`: the user is yourself, or the user's role is not below your own or has a permission that yours lacks."),
        (status = 404, description = "`not-found`: no such user exists."),
        (status = 409, description = "`last-administrator`: no active administrator would be left."),
    ),
)]
pub(crate) async fn delete(
    State(goat): State<Goat>,
    State(mount): State<Arc<Mount>>,
    me: FreshPrincipal,
    Id(id): Id<UserId>,
    _: NoQuery,
) -> Result<StatusCode, Problem> {
    let instead = || {
        let prefix = mount.accounts()?;
        Some(format!("To delete your own account, use DELETE {prefix}/api/v1/user."))
    };
    let explain = redirect_self(me.user(), id, instead);
    goat.users().delete(me.into(), id).await.map_err(explain)?;
    Ok(StatusCode::NO_CONTENT)
}

/// List a user's sessions
///
/// Returns active sessions only, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/user/{id}/sessions",
    operation_id = "listUserSessions",
    tag = "Users",
    params(("id" = String, Path, description = "The id of the user."), Page),
    responses(
        (status = 200, description = "A page of sessions.", body = view::Page<Session>),
        (status = 403, description = "`outranked`: the user's role is not below your own or has a permission that yours lacks."),
        (status = 404, description = "`not-found`: no such user exists."),
    ),
)]
pub(crate) async fn sessions(
    State(goat): State<Goat>,
    me: Principal,
    Id(id): Id<UserId>,
    Query(page): Query<Page>,
) -> Result<view::Page<Session>, Problem> {
    let sessions = goat.sessions().list_of(&me, id, page.into()).await?;
    let shown = sessions.items.iter().map(|session| Session::new(session, &me));
    Ok(view::Page::new(shown, page, sessions.total))
}

/// Revoke a user's sessions
///
/// Revokes every session of the user. Their tokens stop working immediately. To revoke your own
/// sessions, use `DELETE /api/v1/sessions`.
#[utoipa::path(
    delete,
    path = "/api/v1/user/{id}/sessions",
    operation_id = "revokeUserSessions",
    tag = "Users",
    params(("id" = String, Path, description = "The id of the user.")),
    responses(
        (status = 200, description = "The number of revoked sessions.", body = Data<Revoked>),
        (status = 403, description = "`outranked`: the user is yourself, or the user's role is not below your own or has a permission that yours lacks."),
        (status = 404, description = "`not-found`: no such user exists."),
    ),
)]
pub(crate) async fn revoke_sessions(
    State(goat): State<Goat>,
    State(mount): State<Arc<Mount>>,
    me: FreshPrincipal,
    Id(id): Id<UserId>,
    _: NoQuery,
) -> Result<Data<Revoked>, Problem> {
    let instead = || {
        let prefix = mount.accounts()?;
        Some(format!("To revoke your own sessions, use DELETE {prefix}/api/v1/sessions."))
    };
    let explain = redirect_self(me.user(), id, instead);
    let revoked = goat.sessions().revoke_all_of(me.into(), id).await.map_err(explain)?;
    Ok(Data::new(Revoked { revoked }))
}
