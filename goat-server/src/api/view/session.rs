//! Sessions in responses.

use goat_core::auth::Method;
use goat_core::{Principal, session};
use serde::Serialize;
use utoipa::ToSchema;

use super::Time;

/// A session: one sign-in on one device.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Session {
    /// The id of the session, a ULID.
    #[schema(example = "01KDWMBY00C8X0F4ZCV7J3T9QH")]
    pub id: String,
    /// The `User-Agent` header at sign-in, truncated to 256 characters.
    pub device: String,
    /// The client's IP address at sign-in; `null` if unknown.
    #[schema(required = true, example = "192.0.2.7")]
    pub ip: Option<String>,
    /// The time of sign-in.
    pub created_at: Time,
    /// The time of sign-in or of the last refresh.
    pub last_used_at: Time,
    /// The time at which the session expires unless it is refreshed.
    pub expires_at: Time,
    /// Whether this request was made in this session.
    pub current: bool,
    /// The methods by which the user has authenticated in this session: `password`, `email_code`, `totp`,
    /// `recovery_code`, `security_key`, `passkey`, `federated`, `vouched`.
    #[schema(example = json!(["password"]))]
    pub methods: Vec<&'static str>,
    /// `multi` if one of these proofs was of several factors; otherwise `single`.
    #[schema(example = "single")]
    pub assurance: &'static str,
    /// The time at which the user last authenticated in this session. A refresh does not change it.
    pub authenticated_at: Time,
}

impl Session {
    /// Returns a session as the principal sees it.
    #[must_use]
    pub fn new(session: &session::Session, to: &Principal) -> Self {
        Self {
            id: session.id.to_string(),
            device: session.device.clone(),
            ip: session.address.map(|address| address.to_string()),
            created_at: session.created_at.into(),
            last_used_at: session.last_used_at.into(),
            expires_at: session.expires_at().into(),
            current: Some(session.id) == to.session(),
            methods: session.methods.iter().map(Method::as_str).collect(),
            assurance: session.assurance().as_str(),
            authenticated_at: session.authenticated_at.into(),
        }
    }
}
