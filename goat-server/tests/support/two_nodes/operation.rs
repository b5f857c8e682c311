//! What one node is told to do and every node must obey.

use serde_json::json;

use super::Scene;
use super::fixture::{GRANTED, NEW_PASSWORD};
use crate::support::node::{Node, PASSWORD, Person, data, soon};
use crate::support::process::Response;

/// An act that takes something away from somebody, or gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
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
    TakeGrant,
}

impl Act {
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
        Self::TakeGrant,
    ];

    /// Brings about what the act presupposes.
    pub(crate) fn prepare(self, node: Node, scene: &mut Scene) {
        if matches!(self, Self::LowerRole) {
            data(scene.change(node, "role", "operator"));
        }
        if matches!(self, Self::TakeGrant) {
            if scene.find_grant(node).is_none() {
                data(Self::Grant.perform(node, scene));
            }
            scene.grant = scene.find_grant(node).expect("it was given");
        }
        if matches!(self, Self::Grant | Self::RaiseRole | Self::LowerRole)
            && let Some(id) = scene.find_grant(node)
        {
            let path = format!("/api/v1/permission/{id}");
            let taken = scene.command(node, "DELETE", &path, None).expect("a response");
            assert_eq!(taken.status, 204, "{taken:?}");
        }
    }

    /// Asks the node to do it. None if the connection broke before the complete response.
    pub(crate) fn perform(self, node: Node, scene: &Scene) -> Option<Response> {
        let id = &scene.id;
        match self {
            Self::Logout => scene.ask(node, "POST", "/api/v1/auth/logout", None),
            Self::RevokeSession => {
                scene.ask(node, "DELETE", &format!("/api/v1/sessions/{}", scene.session), None)
            }
            Self::RevokeOthers => {
                scene.ask(node, "DELETE", "/api/v1/sessions", Some(&json!({"others": true})))
            }
            Self::RevokeAll => {
                scene.ask(node, "DELETE", "/api/v1/sessions", Some(&json!({"all": true})))
            }
            Self::RevokeByAdministrator => {
                scene.command(node, "DELETE", &format!("/api/v1/user/{id}/sessions"), None)
            }
            Self::ChangePassword => {
                let body = json!({"current_password": PASSWORD, "new_password": NEW_PASSWORD});
                scene.ask(node, "PATCH", "/api/v1/user/change-password", Some(&body))
            }
            Self::Suspend => scene.change(node, "status", "suspended"),
            Self::Delete => scene.command(node, "DELETE", &format!("/api/v1/user/{id}"), None),
            Self::RaiseRole => scene.change(node, "role", "operator"),
            Self::LowerRole => scene.change(node, "role", "client"),
            Self::Grant => {
                let body = json!({"role": "client", "action": GRANTED});
                scene.command(node, "POST", "/api/v1/permission", Some(&body))
            }
            Self::TakeGrant => {
                let path = format!("/api/v1/permission/{}", scene.grant);
                scene.command(node, "DELETE", &path, None)
            }
        }
    }

    /// Asks what the act is to change: of sessions the verdict alone, since who shows the user reads
    /// them again and would find out by that.
    pub(crate) fn probe(self, node: Node, scene: &Scene) -> Response {
        match self {
            Self::RevokeSession | Self::RevokeOthers | Self::ChangePassword => {
                verify(node, &scene.second)
            }
            Self::RaiseRole | Self::LowerRole | Self::Grant | Self::TakeGrant => {
                scene.guarded(node)
            }
            _ => verify(node, &scene.ann),
        }
    }

    /// What the probe is answered before, and once it is in force.
    pub(crate) fn statuses(self) -> (u16, u16) {
        match self {
            Self::RaiseRole | Self::Grant => (403, 200),
            Self::LowerRole | Self::TakeGrant => (200, 403),
            _ => (204, 401),
        }
    }

    /// Whether a node obeys.
    ///
    /// # Panics
    /// If it responses neither as before nor as it must.
    pub(crate) fn is_obeyed(self, node: Node, scene: &Scene) -> bool {
        let (before, after) = self.statuses();
        let response = self.probe(node, scene);
        assert!(response.status == before || response.status == after, "{self:?}: {response:?}");
        response.status == after
    }

    /// Has both nodes remember what was before, as soon as both know it.
    pub(crate) fn remember(self, nodes: [Node; 2], scene: &Scene) {
        for node in nodes {
            soon("it is as before", || !self.is_obeyed(node, scene));
            assert!(!self.is_obeyed(node, scene), "{self:?}");
        }
    }
}

/// Whether a session is good, by what the node remembers or finds.
pub(crate) fn verify(node: Node, person: &Person) -> Response {
    node.0.get("/api/v1/auth/verify", &person.access).expect("a response")
}
