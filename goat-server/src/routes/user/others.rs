//! What users do to other users.

use axum::extract::State;
use goat_core::user::{NewUser, UserUpdate};
use goat_core::{Email, Error, ErrorKind, Goat, Principal, Role, Secret, Status, UserId};
use http::StatusCode;
use utoipa::ToSchema;

use crate::extract::{
    Caller, Fields, FromFields, FromFieldsWith, Id, Json, NoQuery, Page, Query, Refused,
};
use crate::http::ApiError;
use crate::present::{self, Created, Data, Session, User};
use crate::routes::session::Revoked;
use crate::routes::{actor, known_role, new_password};
use crate::state::AppState;

/// What the refusal to act on oneself says: which way is open instead.
fn unless_oneself<'a>(
    caller: &'a Principal,
    id: UserId,
    instead: &'static str,
) -> impl FnOnce(Error) -> Error + use<'a> {
    move |error| match error.kind() {
        ErrorKind::Outranked if caller.user() == id => error.with_client_message(instead),
        _ => error,
    }
}

/// A user to be made.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateBody {
    /// At most 254 octets; trimmed, and kept as it was given.
    #[schema(value_type = String, format = Email, example = "ann@example.org")]
    email: Email,
    /// 15 to 256 characters unless configured otherwise; not a common one, not the address.
    #[schema(value_type = String, format = Password)]
    password: Secret<String>,
    /// The name of a role that the caller may give; the lowest one if none is given.
    #[schema(value_type = Option<String>, nullable = false, example = "client")]
    role: Role,
    /// `inactive` or `active`.
    #[schema(value_type = Option<String>, nullable = false, default = "active", example = "active")]
    status: Status,
}

impl FromFieldsWith<AppState> for CreateBody {
    fn from_fields_with(fields: &mut Fields, state: &AppState) -> Result<Self, Refused> {
        let email = fields.parse("email", Email::parse);
        let password = fields.secret("password").map(Some);
        let known = email.as_ref().ok();
        let password = new_password(fields, "password", password, known, &state.goat);
        let role = fields.optional_parse("role", |name| known_role(&state.goat, name));
        let status = fields.optional_parse("status", first_status);
        let (email, password, role, status) = (email?, password?, role?, status?);
        let password = password.ok_or_else(|| fields.refuse("password", "is required"))?;
        let lowest = || state.goat.roles().lowest();
        Ok(Self {
            email,
            password,
            role: role.unwrap_or_else(lowest),
            status: status.unwrap_or(Status::Active),
        })
    }
}

/// Nobody begins suspended.
fn first_status(name: &str) -> Result<Status, &'static str> {
    let status = Status::parse(name).filter(|status| *status != Status::Suspended);
    status.ok_or("must be inactive or active for a new user")
}

/// Make a user.
#[utoipa::path(
    post,
    path = "/api/v1/user",
    operation_id = "createUser",
    tag = "users",
    responses(
        (status = 201, description = "The user.", body = Data<User>,
            headers(("Location" = String, description = "Where the user is found."))),
        (status = 403, description = "`role-not-assignable`."),
        (status = 409, description = "`email-taken`."),
    ),
)]
pub(crate) async fn create(
    State(goat): State<Goat>,
    Caller(caller): Caller,
    _: NoQuery,
    Json(CreateBody { email, password, role, status }): Json<CreateBody>,
) -> Result<Created<User>, ApiError> {
    let actor = actor(&goat, &caller).await?;
    let user = goat.users().create(actor, NewUser { email, password, role, status }).await?;
    Ok(User::from(user).created())
}

/// What is to be different about a user: at least one of the two.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateBody {
    /// At most 254 octets; trimmed, and kept as it was given.
    #[schema(value_type = Option<String>, nullable = false, format = Email, example = "ann@example.org")]
    email: Option<Email>,
    /// 15 to 256 characters unless configured otherwise; not a common one, not the address.
    #[schema(value_type = Option<String>, nullable = false, format = Password)]
    password: Option<Secret<String>>,
}

impl FromFieldsWith<AppState> for UpdateBody {
    fn from_fields_with(fields: &mut Fields, state: &AppState) -> Result<Self, Refused> {
        let email = fields.optional_parse("email", Email::parse);
        let password = fields.optional_secret("password");
        let known = email.as_ref().ok().and_then(Option::as_ref);
        let password = new_password(fields, "password", password, known, &state.goat);
        let (email, password) = (email?, password?);
        if email.is_none() && password.is_none() {
            return Err(fields.refuse("email", "or password must be given"));
        }
        Ok(Self { email, password })
    }
}

/// Change a user's e-mail address or password.
///
/// A new password ends all sessions of the user. Not for oneself.
#[utoipa::path(
    put,
    path = "/api/v1/user/{id}",
    operation_id = "updateUser",
    tag = "users",
    params(("id" = String, Path, description = "The user's id.")),
    responses(
        (status = 200, description = "The user, as changed.", body = Data<User>),
        (status = 403, description = "`outranked`, also on oneself: use change-email and change-password."),
        (status = 404, description = "`not-found`."),
        (status = 409, description = "`email-taken`."),
    ),
)]
pub(crate) async fn update(
    State(goat): State<Goat>,
    Caller(caller): Caller,
    Id(id): Id<UserId>,
    _: NoQuery,
    Json(UpdateBody { email, password }): Json<UpdateBody>,
) -> Result<Data<User>, ApiError> {
    let actor = actor(&goat, &caller).await?;
    let instead =
        "To change your own account, use PATCH /api/v1/user/change-email or change-password.";
    let done = goat.users().update(actor, id, UserUpdate { email, password }).await;
    let user = done.map_err(unless_oneself(&caller, id, instead))?;
    Ok(Data::new(user.into()))
}

/// What a user is to be able to do.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeRoleBody {
    /// The name of a role that the caller may give.
    #[schema(value_type = String, example = "operator")]
    role: Role,
}

impl FromFieldsWith<AppState> for ChangeRoleBody {
    fn from_fields_with(fields: &mut Fields, state: &AppState) -> Result<Self, Refused> {
        Ok(Self { role: fields.parse("role", |name| known_role(&state.goat, name))? })
    }
}

/// Change a user's role.
///
/// Sessions go on, under the new role. The role that the user has already is no change.
#[utoipa::path(
    patch,
    path = "/api/v1/user/{id}/change-role",
    operation_id = "changeRole",
    tag = "users",
    params(("id" = String, Path, description = "The user's id.")),
    responses(
        (status = 200, description = "The user, as changed.", body = Data<User>),
        (status = 403, description = "`outranked`, also on oneself; `role-not-assignable`."),
        (status = 404, description = "`not-found`."),
        (status = 409, description = "`last-administrator`."),
    ),
)]
pub(crate) async fn change_role(
    State(goat): State<Goat>,
    Caller(caller): Caller,
    Id(id): Id<UserId>,
    _: NoQuery,
    Json(ChangeRoleBody { role }): Json<ChangeRoleBody>,
) -> Result<Data<User>, ApiError> {
    let actor = actor(&goat, &caller).await?;
    let instead = "Nobody changes their own role. Ask another administrator.";
    let done = goat.users().change_role(actor, id, role).await;
    let user = done.map_err(unless_oneself(&caller, id, instead))?;
    Ok(Data::new(user.into()))
}

/// Whether a user is to be able to sign in.
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

/// Change a user's status.
///
/// Inactive, then active, then suspended, then active again. Suspension ends all sessions. The
/// status that the user has already is no change.
#[utoipa::path(
    patch,
    path = "/api/v1/user/{id}/change-status",
    operation_id = "changeStatus",
    tag = "users",
    params(("id" = String, Path, description = "The user's id.")),
    responses(
        (status = 200, description = "The user, as changed.", body = Data<User>),
        (status = 403, description = "`outranked`, also on oneself."),
        (status = 404, description = "`not-found`."),
        (status = 409, description = "`invalid-transition`, `last-administrator`."),
    ),
)]
pub(crate) async fn change_status(
    State(goat): State<Goat>,
    Caller(caller): Caller,
    Id(id): Id<UserId>,
    _: NoQuery,
    Json(ChangeStatusBody { status }): Json<ChangeStatusBody>,
) -> Result<Data<User>, ApiError> {
    let actor = actor(&goat, &caller).await?;
    let instead = "Nobody changes their own status. Ask another administrator.";
    let done = goat.users().change_status(actor, id, status).await;
    let user = done.map_err(unless_oneself(&caller, id, instead))?;
    Ok(Data::new(user.into()))
}

/// Delete a user.
///
/// Every session of the user ends. Not for oneself.
#[utoipa::path(
    delete,
    path = "/api/v1/user/{id}",
    operation_id = "deleteUser",
    tag = "users",
    params(("id" = String, Path, description = "The user's id.")),
    responses(
        (status = 204, description = "The user is gone."),
        (status = 403, description = "`outranked`, also on oneself: use DELETE /api/v1/user."),
        (status = 404, description = "`not-found`."),
        (status = 409, description = "`last-administrator`."),
    ),
)]
pub(crate) async fn delete(
    State(goat): State<Goat>,
    Caller(caller): Caller,
    Id(id): Id<UserId>,
    _: NoQuery,
) -> Result<StatusCode, ApiError> {
    let actor = actor(&goat, &caller).await?;
    let instead = "To delete your own account, use DELETE /api/v1/user.";
    let done = goat.users().delete(actor, id).await;
    done.map_err(unless_oneself(&caller, id, instead))?;
    Ok(StatusCode::NO_CONTENT)
}

/// List a user's sessions.
///
/// Those that are alive, the newest first.
#[utoipa::path(
    get,
    path = "/api/v1/user/{id}/sessions",
    operation_id = "listUserSessions",
    tag = "users",
    params(("id" = String, Path, description = "The user's id."), Page),
    responses(
        (status = 200, description = "A page of sessions.", body = present::Page<Session>),
        (status = 403, description = "`outranked`."),
        (status = 404, description = "`not-found`."),
    ),
)]
pub(crate) async fn sessions(
    State(goat): State<Goat>,
    Caller(caller): Caller,
    Id(id): Id<UserId>,
    Query(page): Query<Page>,
) -> Result<present::Page<Session>, ApiError> {
    let sessions = goat.sessions().list_of(&caller, id, page.into()).await?;
    let shown = sessions.items.iter().map(|session| Session::new(session, &caller));
    Ok(present::Page::new(shown, page, sessions.total))
}

/// End all sessions of a user.
///
/// Their tokens are dead when this is answered.
#[utoipa::path(
    delete,
    path = "/api/v1/user/{id}/sessions",
    operation_id = "revokeUserSessions",
    tag = "users",
    params(("id" = String, Path, description = "The user's id.")),
    responses(
        (status = 200, description = "How many have ended.", body = Data<Revoked>),
        (status = 403, description = "`outranked`, also on oneself: use DELETE /api/v1/sessions."),
        (status = 404, description = "`not-found`."),
    ),
)]
pub(crate) async fn revoke_sessions(
    State(goat): State<Goat>,
    Caller(caller): Caller,
    Id(id): Id<UserId>,
    _: NoQuery,
) -> Result<Data<Revoked>, ApiError> {
    let actor = actor(&goat, &caller).await?;
    let instead = "To end your own sessions, use DELETE /api/v1/sessions.";
    let done = goat.sessions().revoke_all_of(actor, id).await;
    let revoked = done.map_err(unless_oneself(&caller, id, instead))?;
    Ok(Data::new(Revoked { revoked }))
}
