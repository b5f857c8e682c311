//! Users in responses.

use goat_core::Principal;
use serde::Serialize;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::{Created, Time};
use crate::api::{Mount, schemas};

/// A user.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct User {
    /// The id of the user, a ULID. It never changes.
    #[schema(example = "01KDWMBY00C8X0F4ZCV7J3T9QH")]
    pub id: String,
    /// The e-mail address, spelled as the user entered it.
    #[schema(example = "ann@example.org")]
    pub email: String,
    /// Whether the address was proven to belong to the user. A new address is not, until it is proven too.
    pub email_verified: bool,
    /// The role of the user.
    #[schema(example = "client")]
    pub role: String,
    /// `inactive`, `active` or `suspended`.
    #[schema(example = "active")]
    pub status: &'static str,
    /// The time at which the user was created.
    pub created_at: Time,
    /// The time of the last change of e-mail address, password, role, status or attributes.
    pub updated_at: Time,
    /// The time of the last sign-in; `null` if there was none.
    #[schema(required = true)]
    pub last_login_at: Option<Time>,
    /// The fields of the application.
    pub attributes: Attributes,
}

/// The attributes of a user.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Attributes(goat_core::user::Attributes);

impl PartialSchema for Attributes {
    fn schema() -> RefOr<Schema> {
        schemas::attributes()
    }
}

impl ToSchema for Attributes {}

impl From<goat_core::User> for User {
    fn from(user: goat_core::User) -> Self {
        Self::from(&user)
    }
}

impl From<&goat_core::User> for User {
    fn from(user: &goat_core::User) -> Self {
        Self {
            id: user.id.to_string(),
            email: user.email.as_str().to_owned(),
            email_verified: user.email_verified_at.is_some(),
            role: user.role.as_str().to_owned(),
            status: user.status.as_str(),
            created_at: user.created_at.into(),
            updated_at: user.updated_at.into(),
            last_login_at: user.last_login_at.map(Time),
            attributes: Attributes(user.attributes.clone()),
        }
    }
}

/// The current user with its permissions.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Profile {
    /// The user.
    #[serde(flatten)]
    pub user: User,
    /// The permissions of the user's role.
    #[schema(example = json!(["user:read", "user:update"]))]
    pub permissions: Vec<String>,
}

impl From<&Principal> for Profile {
    fn from(me: &Principal) -> Self {
        let permissions = me.permissions().iter().map(ToString::to_string).collect();
        Self { user: me.profile().into(), permissions }
    }
}

impl User {
    /// Returns the response for a new user.
    pub(crate) fn created(self, mount: &Mount) -> Created<Self> {
        let location = mount.location(format_args!("/api/v1/user/{}", self.id));
        Created { data: self, location }
    }
}
