//! Roles and permissions in responses.

use goat_core::access::{Grant, RoleSummary};
use serde::Serialize;
use utoipa::ToSchema;

use super::Time;

/// A permission granted to a role.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Permission {
    /// The id of the permission, a ULID.
    #[schema(example = "01KDWMBY00C8X0F4ZCV7J3T9QH")]
    pub id: String,
    /// The role that has the permission.
    #[schema(example = "operator")]
    pub role: String,
    /// The allowed action: `full_access`, `resource:verb` or `resource:*`.
    #[schema(example = "user:read")]
    pub action: String,
    /// The time at which the permission was granted.
    pub created_at: Time,
}

impl From<Grant> for Permission {
    fn from(grant: Grant) -> Self {
        Self {
            id: grant.id.to_string(),
            role: grant.role.as_str().to_owned(),
            action: grant.permission.as_str().to_owned(),
            created_at: grant.created_at.into(),
        }
    }
}

/// A role.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Role {
    /// The name of the role.
    #[schema(example = "operator")]
    pub name: String,
    /// The rank of the role. Users may manage only users whose role has a lower rank and no permission
    /// that their own lacks.
    #[schema(example = 500)]
    pub rank: u32,
    /// The permissions of the role.
    #[schema(example = json!(["user:read", "user:update"]))]
    pub permissions: Vec<String>,
}

impl From<RoleSummary> for Role {
    fn from(role: RoleSummary) -> Self {
        Self {
            name: role.role.as_str().to_owned(),
            rank: role.rank.0,
            permissions: role.permissions.iter().map(ToString::to_string).collect(),
        }
    }
}
