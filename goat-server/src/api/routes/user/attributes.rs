//! Attributes of users: the fields of the application.

use std::sync::Arc;

use axum::extract::State;
use goat_core::user::{AttributePatch, Attributes};
use goat_core::{Goat, UserId};
use goat_tower::{FreshPrincipal, Principal, Problem};
use serde_json::{Map, Value};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::api::extract::{Fields, FromFieldsWith, Id, Json, NoQuery, Refused, shown};
use crate::api::routes::user::admin::redirect_self;
use crate::api::view::{Data, User};
use crate::api::{AppState, Mount, schemas};

/// The media types of a merge patch: that of RFC 7396, and that of every other body.
const MEDIA_TYPES: &[&str] = &["application/json", "application/merge-patch+json"];

/// Reads attributes, or a patch of them, with the violations of each key. With `own`, only these keys are
/// allowed.
pub(crate) fn read_attributes<T>(
    fields: &mut Fields,
    prefix: &str,
    object: Map<String, Value>,
    own: Option<&[String]>,
    parse: impl FnOnce(Value) -> goat_core::Result<T>,
) -> Result<T, Refused> {
    let mut refused = None;
    for (key, value) in &object {
        let message = match Attributes::check(key, value) {
            Err(error) => error.message(),
            Ok(()) if own.is_some_and(|own| !own.contains(key)) => {
                "is not an attribute that you may change yourself"
            }
            Ok(()) => continue,
        };
        refused = Some(fields.refuse(format!("{prefix}{}", shown(key)), message));
    }
    if let Some(refused) = refused {
        return Err(refused);
    }
    parse(Value::Object(object)).map_err(|error| {
        let message = error.violations().first().map(|violation| violation.message.clone());
        fields.refuse("attributes", message.unwrap_or_default())
    })
}

/// A patch of the current user's attributes.
#[derive(Debug)]
pub(crate) struct OwnAttributesBody(AttributePatch);

impl FromFieldsWith<AppState> for OwnAttributesBody {
    const MEDIA_TYPES: &'static [&'static str] = MEDIA_TYPES;

    fn from_fields_with(fields: &mut Fields, state: &AppState) -> Result<Self, Refused> {
        let object = fields.take_rest().into_json();
        let own = Some(state.goat.settings().self_attributes.as_slice());
        read_attributes(fields, "", object, own, AttributePatch::parse).map(Self)
    }
}

/// A patch of a user's attributes.
#[derive(Debug)]
pub(crate) struct AttributesBody(AttributePatch);

impl FromFieldsWith<AppState> for AttributesBody {
    const MEDIA_TYPES: &'static [&'static str] = MEDIA_TYPES;

    fn from_fields_with(fields: &mut Fields, _: &AppState) -> Result<Self, Refused> {
        let object = fields.take_rest().into_json();
        read_attributes(fields, "", object, None, AttributePatch::parse).map(Self)
    }
}

impl PartialSchema for AttributesBody {
    fn schema() -> RefOr<Schema> {
        schemas::attributes()
    }
}

impl ToSchema for AttributesBody {}

/// Change the current user's attributes
///
/// Applies a JSON merge patch (RFC 7396): `null` removes a key, any other value replaces it, and the other
/// keys stay. Only the keys that the server is configured to leave to users may be changed. Concurrent
/// patches of different keys all take effect.
#[utoipa::path(
    patch,
    path = "/api/v1/user/attributes",
    operation_id = "changeOwnAttributes",
    tag = "Account",
    request_body(content(
        (AttributesBody = "application/json"),
        (AttributesBody = "application/merge-patch+json"),
    )),
    responses((status = 200, description = "The current user, with the new attributes.", body = Data<User>)),
)]
pub(crate) async fn change_own(
    State(goat): State<Goat>,
    me: Principal,
    _: NoQuery,
    Json(OwnAttributesBody(patch)): Json<OwnAttributesBody>,
) -> Result<Data<User>, Problem> {
    let user = goat.users().change_own_attributes(&me, patch).await?;
    Ok(Data::new(user.into()))
}

/// Change a user's attributes
///
/// Applies a JSON merge patch (RFC 7396): `null` removes a key, any other value replaces it, and the other
/// keys stay. Concurrent patches of different keys all take effect. To change your own attributes, use
/// `PATCH /api/v1/user/attributes`.
#[utoipa::path(
    patch,
    path = "/api/v1/user/{id}/attributes",
    operation_id = "changeAttributes",
    tag = "Users",
    params(("id" = String, Path, description = "The id of the user.")),
    request_body(content(
        (AttributesBody = "application/json"),
        (AttributesBody = "application/merge-patch+json"),
    )),
    responses(
        (status = 200, description = "The updated user.", body = Data<User>),
        (status = 403, description = "`outranked`: the user is yourself, or the user's role is not below your own or has a permission that yours lacks."),
        (status = 404, description = "`not-found`: no such user exists."),
    ),
)]
pub(crate) async fn change(
    State(goat): State<Goat>,
    State(mount): State<Arc<Mount>>,
    me: FreshPrincipal,
    Id(id): Id<UserId>,
    _: NoQuery,
    Json(AttributesBody(patch)): Json<AttributesBody>,
) -> Result<Data<User>, Problem> {
    let instead = || {
        let prefix = mount.accounts()?;
        Some(format!("To change your own attributes, use PATCH {prefix}/api/v1/user/attributes."))
    };
    let explain = redirect_self(me.user(), id, instead);
    let user = goat.users().change_attributes(me.into(), id, patch).await.map_err(explain)?;
    Ok(Data::new(user.into()))
}
