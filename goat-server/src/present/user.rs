//! A user on the wire.

use goat_core::user;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Created, Time};

/// A user.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct User {
    /// Names the user for ever: a ULID.
    #[schema(example = "01KDWMBY00C8X0F4ZCV7J3T9QH")]
    pub id: String,
    /// The e-mail address, as it was given.
    #[schema(example = "ann@example.org")]
    pub email: String,
    /// The name of the role.
    #[schema(example = "client")]
    pub role: String,
    /// `inactive`, `active` or `suspended`.
    #[schema(example = "active")]
    pub status: &'static str,
    /// When the user was made.
    pub created_at: Time,
    /// When e-mail, password, role or status last changed. Signing in does not count.
    pub updated_at: Time,
    /// When the user last signed in; `null` for never.
    #[schema(required = true)]
    pub last_login_at: Option<Time>,
}

impl From<goat_core::User> for User {
    fn from(user: goat_core::User) -> Self {
        Self {
            id: user.id.to_string(),
            email: user.email.as_str().to_owned(),
            role: user.role.as_str().to_owned(),
            status: user.status.as_str(),
            created_at: user.created_at.into(),
            updated_at: user.updated_at.into(),
            last_login_at: user.last_login_at.map(Time),
        }
    }
}

/// The caller, and what they may do.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Profile {
    /// The user.
    #[serde(flatten)]
    pub user: User,
    /// What the user's role may do.
    #[schema(example = json!(["user:read", "user:update"]))]
    pub permissions: Vec<String>,
}

impl From<user::Profile> for Profile {
    fn from(profile: user::Profile) -> Self {
        let permissions = profile.permissions.iter().map(ToString::to_string).collect();
        Self { user: profile.user.into(), permissions }
    }
}

impl User {
    /// Shows a user that was just made.
    #[must_use]
    pub fn created(self) -> Created<Self> {
        let location = format!("/api/v1/user/{}", self.id);
        Created { data: self, location: Some(location) }
    }
}
