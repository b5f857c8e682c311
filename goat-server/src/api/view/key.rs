//! API keys in responses.
//!
//! Only [`CreatedKey`] holds the text of a key. It does not implement `Debug`, so that it cannot be logged.

use goat_core::key;
use serde::{Serialize, Serializer};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::{Created, Time};
use crate::api::schemas;

/// An API key, without its text.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Key {
    /// The id of the key, a ULID.
    #[schema(example = "01KDWMBY00C8X0F4ZCV7J3T9QH")]
    pub id: String,
    /// The name, for people.
    #[schema(example = "nightly report")]
    pub name: String,
    /// The rights of the key.
    pub scopes: Scopes,
    /// The id of the user whose rights the key has.
    #[schema(example = "01KDWMBY00C8X0F4ZCV7J3T9QH")]
    pub owner: String,
    /// The id of the user that created the key; `null` if it was created on the command line.
    #[schema(required = true, example = "01KDWMBY00C8X0F4ZCV7J3T9QH")]
    pub made_by: Option<String>,
    /// The time at which the key was created.
    pub created_at: Time,
    /// The time at which the key expires; `null` if it has no end.
    #[schema(required = true)]
    pub expires_at: Option<Time>,
    /// The time of the last use, to the hour; `null` if there was none.
    #[schema(required = true)]
    pub last_used_at: Option<Time>,
}

impl From<key::Key> for Key {
    fn from(key: key::Key) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name,
            scopes: Scopes(key.scopes),
            owner: key.owner.to_string(),
            made_by: key.made_by.map(|user| user.to_string()),
            created_at: key.created_at.into(),
            expires_at: key.expires_at.map(Time),
            last_used_at: key.last_used_at.map(Time),
        }
    }
}

/// The scopes of a key: `*`, or permissions.
#[derive(Clone, Debug)]
pub struct Scopes(key::Scopes);

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            key::Scopes::Role => serializer.serialize_str("*"),
            key::Scopes::Only(permissions) => {
                serializer.collect_seq(permissions.iter().map(goat_core::Permission::as_str))
            }
        }
    }
}

impl PartialSchema for Scopes {
    fn schema() -> RefOr<Schema> {
        schemas::scopes()
    }
}

impl ToSchema for Scopes {}

/// A new API key, with its text.
#[derive(Serialize, ToSchema)]
pub struct CreatedKey {
    /// The key.
    #[serde(flatten)]
    pub key: Key,
    /// The text that a program sends as `Authorization: Bearer …`. It is shown only now.
    #[serde(rename = "key")]
    pub text: String,
}

impl CreatedKey {
    /// Returns the response to the creation. A key has no path of its own.
    pub(crate) fn created(created: key::CreatedKey) -> Created<Self> {
        let text = created.secret.expose().clone();
        Created { data: Self { key: created.key.into(), text }, location: None }
    }
}
