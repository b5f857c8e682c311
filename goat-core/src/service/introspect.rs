//! Introspection (RFC 7662): whether an access token or an API key is valid now, and the rights behind it.
//!
//! Invariant: it uses nothing up and changes nothing; a refresh token is never active.

use std::sync::Arc;

use crate::access::{Permission, Role};
use crate::clock::Timestamp;
use crate::error::{ErrorKind, Result};
use crate::id::{Credential, KeyId, UserId};
use crate::proof::Assurance;

use super::Context;

/// An active token or API key, with the role of its user, and with its permissions as they are now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Introspection {
    /// The user.
    pub user: UserId,
    /// The user's role; `None` of an API key that has less than it, by its scopes.
    pub role: Option<Role>,
    /// The permissions that the token or key gives, in alphabetical order.
    pub permissions: Vec<Permission>,
    /// The API key; `None` of a token.
    pub key: Option<KeyId>,
    /// The client that the token was issued to; `None` of a key.
    pub client_id: Option<String>,
    /// The time of issue, or of the key's creation.
    pub issued_at: Timestamp,
    /// The expiry; `None` of a key without an end.
    pub expires_at: Option<Timestamp>,
    /// The time at which the user last authenticated for the session; `None` of a key.
    pub authenticated_at: Option<Timestamp>,
    /// The methods of the session's proofs (RFC 8176); empty of a key.
    pub amr: Vec<String>,
    /// The assurance of the session; `None` of a key.
    pub assurance: Option<Assurance>,
}

impl Context {
    pub(crate) async fn introspect(self: &Arc<Self>, text: &str) -> Result<Option<Introspection>> {
        let principal = match self.authenticate(text).await {
            Ok(principal) => principal,
            Err(error) => match error.kind() {
                ErrorKind::InvalidToken | ErrorKind::TokenExpired | ErrorKind::SessionRevoked => {
                    return Ok(None);
                }
                _ => return Err(error),
            },
        };
        let (user, role) = (principal.user(), principal.whole_role().cloned());
        let (permissions, assurance) = (principal.permissions().to_vec(), principal.assurance());
        let key = match principal.credential() {
            Credential::Key(key) => key,
            Credential::Session(_) => {
                // The token may have expired since.
                let claims = self.tokens.verify_access(text, self.time.now());
                return Ok(claims.ok().map(|claims| Introspection {
                    user,
                    role,
                    permissions,
                    key: None,
                    client_id: Some(claims.client_id.clone()),
                    issued_at: claims.issued_at,
                    expires_at: Some(claims.expires_at),
                    authenticated_at: Some(claims.authenticated_at),
                    amr: claims.amr.clone(),
                    assurance,
                }));
            }
        };
        Ok(principal.key_created_at().map(|issued_at| Introspection {
            user,
            role,
            permissions,
            key: Some(key),
            client_id: None,
            issued_at,
            expires_at: principal.expires_at(),
            authenticated_at: None,
            amr: Vec::new(),
            assurance: None,
        }))
    }
}
