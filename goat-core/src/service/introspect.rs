//! Introspection (RFC 7662): whether a token is valid now, and the rights behind it.
//!
//! Invariant: it uses nothing up and changes nothing; a refresh token is never active.

use std::sync::Arc;

use crate::access::{Permission, Role};
use crate::clock::Timestamp;
use crate::error::{ErrorKind, Result};
use crate::id::UserId;
use crate::proof::Assurance;

use super::Context;

/// An active token, with the role and the permissions of its user as they are now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Introspection {
    /// The user.
    pub user: UserId,
    /// The user's role.
    pub role: Role,
    /// The permissions that the token gives, in alphabetical order.
    pub permissions: Vec<Permission>,
    /// The client that the token was issued to.
    pub client_id: String,
    /// The time of issue.
    pub issued_at: Timestamp,
    /// The expiry.
    pub expires_at: Timestamp,
    /// The time at which the user last authenticated for the session.
    pub authenticated_at: Timestamp,
    /// The methods of the session's proofs (RFC 8176).
    pub amr: Vec<String>,
    /// The assurance of the session.
    pub assurance: Assurance,
}

impl Context {
    pub(crate) async fn introspect(self: &Arc<Self>, token: &str) -> Result<Option<Introspection>> {
        let Ok(claims) = self.tokens.verify_access(token, self.time.now()) else {
            return Ok(None);
        };
        let principal = match self.authenticate(token).await {
            Ok(principal) => principal,
            Err(error) => match error.kind() {
                ErrorKind::InvalidToken | ErrorKind::TokenExpired | ErrorKind::SessionRevoked => {
                    return Ok(None);
                }
                _ => return Err(error),
            },
        };
        let Some(assurance) = principal.assurance() else { return Ok(None) };
        Ok(Some(Introspection {
            user: principal.user(),
            role: principal.role().clone(),
            permissions: principal.permissions().to_vec(),
            client_id: claims.client_id.clone(),
            issued_at: claims.issued_at,
            expires_at: claims.expires_at,
            authenticated_at: claims.authenticated_at,
            amr: claims.amr.clone(),
            assurance,
        }))
    }
}
