//! Operations on one node whose effect must reach every node.

use serde_json::json;

use super::Fixture;
use super::fixture::{GRANTED, NEW_PASSWORD};
use crate::support::node::{Node, PASSWORD, Tokens, data, soon};
use crate::support::process::Response;

/// An operation that changes the rights of the fixture's user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Logout,
    RevokeSession,
    RevokeOthers,
    RevokeAll,
    RevokeByAdministrator,
    ChangePassword,
    Suspend,
    Delete,
    RaiseRole,
    LowerRole,
    Grant,
    RevokeGrant,
}

impl Operation {
    pub(crate) const ALL: [Self; 12] = [
        Self::Logout,
        Self::RevokeSession,
        Self::RevokeOthers,
        Self::RevokeAll,
        Self::RevokeByAdministrator,
        Self::ChangePassword,
        Self::Suspend,
        Self::Delete,
        Self::RaiseRole,
        Self::LowerRole,
        Self::Grant,
        Self::RevokeGrant,
    ];

    /// Prepares the state that the operation needs.
    pub(crate) fn prepare(self, node: Node, fixture: &mut Fixture) {
        match self {
            Self::LowerRole => drop(data(fixture.change(node, "role", "operator"))),
            Self::RaiseRole => drop(data(fixture.change(node, "role", "client"))),
            _ => {}
        }
        if matches!(self, Self::RevokeGrant) {
            if fixture.find_grant(node).is_none() {
                data(Self::Grant.perform(node, fixture));
            }
            fixture.grant = fixture.find_grant(node).expect("the permission");
        }
        if matches!(self, Self::Grant | Self::RaiseRole | Self::LowerRole)
            && let Some(id) = fixture.find_grant(node)
        {
            let path = format!("/api/v1/permission/{id}");
            let revoked = fixture.as_admin(node, "DELETE", &path, None).expect("a response");
            assert_eq!(revoked.status, 204, "{revoked:?}");
        }
    }

    /// Performs the operation on a node. `None` if the connection broke before the complete response.
    pub(crate) fn perform(self, node: Node, fixture: &Fixture) -> Option<Response> {
        let id = &fixture.id;
        match self {
            Self::Logout => fixture.as_user(node, "POST", "/api/v1/auth/logout", None),
            Self::RevokeSession => fixture.as_user(
                node,
                "DELETE",
                &format!("/api/v1/sessions/{}", fixture.second_id),
                None,
            ),
            Self::RevokeOthers => {
                fixture.as_user(node, "DELETE", "/api/v1/sessions", Some(&json!({"others": true})))
            }
            Self::RevokeAll => {
                fixture.as_user(node, "DELETE", "/api/v1/sessions", Some(&json!({"all": true})))
            }
            Self::RevokeByAdministrator => {
                fixture.as_admin(node, "DELETE", &format!("/api/v1/user/{id}/sessions"), None)
            }
            Self::ChangePassword => {
                let body = json!({"current_password": PASSWORD, "new_password": NEW_PASSWORD});
                fixture.as_user(node, "PATCH", "/api/v1/user/change-password", Some(&body))
            }
            Self::Suspend => fixture.change(node, "status", "suspended"),
            Self::Delete => fixture.as_admin(node, "DELETE", &format!("/api/v1/user/{id}"), None),
            Self::RaiseRole => fixture.change(node, "role", "operator"),
            Self::LowerRole => fixture.change(node, "role", "client"),
            Self::Grant => {
                let body = json!({"role": "client", "action": GRANTED});
                fixture.as_admin(node, "POST", "/api/v1/permission", Some(&body))
            }
            Self::RevokeGrant => {
                let path = format!("/api/v1/permission/{}", fixture.grant);
                fixture.as_admin(node, "DELETE", &path, None)
            }
        }
    }

    /// Sends a request that the operation affects. For sessions it only verifies the token: a request for
    /// the profile would read the user from the store.
    pub(crate) fn probe(self, node: Node, fixture: &Fixture) -> Response {
        match self {
            Self::RevokeSession | Self::RevokeOthers | Self::ChangePassword => {
                verify(node, &fixture.second)
            }
            Self::RaiseRole | Self::LowerRole | Self::Grant | Self::RevokeGrant => {
                fixture.list_users(node)
            }
            _ => verify(node, &fixture.first),
        }
    }

    /// The statuses of the probe before the operation and after it.
    pub(crate) fn statuses(self) -> (u16, u16) {
        match self {
            Self::RaiseRole | Self::Grant => (403, 200),
            Self::LowerRole | Self::RevokeGrant => (200, 403),
            _ => (204, 401),
        }
    }

    /// Whether the operation is in effect on a node.
    ///
    /// # Panics
    /// If the status is neither of the two.
    pub(crate) fn is_applied(self, node: Node, fixture: &Fixture) -> bool {
        let (before, after) = self.statuses();
        let response = self.probe(node, fixture);
        assert!(response.status == before || response.status == after, "{self:?}: {response:?}");
        response.status == after
    }

    /// Fills the caches of both nodes with the state before the operation.
    pub(crate) fn warm_caches(self, nodes: [Node; 2], fixture: &Fixture) {
        for node in nodes {
            soon("the state before", || !self.is_applied(node, fixture));
            assert!(!self.is_applied(node, fixture), "{self:?}");
        }
    }
}

/// Verifies a token: session validation only, without a read of the user.
pub(crate) fn verify(node: Node, tokens: &Tokens) -> Response {
    node.0.get("/api/v1/auth/verify", &tokens.access).expect("a response")
}
