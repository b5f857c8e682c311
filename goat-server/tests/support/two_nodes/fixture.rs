//! A user with two sessions, and an administrator.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::support::node::{Node, PASSWORD, Tokens, data};
use crate::support::process::Response;

/// The new password of [`Operation::ChangePassword`](super::Operation::ChangePassword).
pub(crate) const NEW_PASSWORD: &str = "seven lamps over the quay";

/// The permission that tests grant to clients.
pub(crate) const GRANTED: &str = "user:read";

/// The subject of an operation.
#[derive(Clone, Debug)]
pub(crate) struct Fixture {
    pub(crate) email: String,
    pub(crate) id: String,
    /// The session that sends the requests.
    pub(crate) first: Tokens,
    /// Another session of the same user, and its id.
    pub(crate) second: Tokens,
    pub(crate) second_id: String,
    pub(crate) admin: Tokens,
    /// The id of the permission to revoke from clients.
    pub(crate) grant: String,
}

impl Fixture {
    /// Creates a user with two sessions, which cost no hash of a password.
    pub(crate) fn new(node: Node, admin: &Tokens) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let email = format!("ann{}@example.org", COUNT.fetch_add(1, Ordering::Relaxed));
        let id = node.sign_up(&email);
        let (first, second) = (node.open_session(admin, &id), node.open_session(admin, &id));
        let sessions = data(node.0.get("/api/v1/sessions", &first.access));
        let sessions = sessions.as_array().expect("a list");
        let second_id = sessions.iter().find(|one| one["current"] == false).expect("the second");
        let second_id = second_id["id"].as_str().expect("an id").to_owned();
        let (admin, grant) = (admin.clone(), String::new());
        Self { email, id, first, second, second_id, admin, grant }
    }

    /// Sends a request with the first session. `None` if the connection broke before the complete
    /// response.
    pub(crate) fn as_user(
        &self,
        node: Node,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Option<Response> {
        node.0.call(method, path, Some(&self.first.access), body)
    }

    /// Sends a request as the administrator.
    pub(crate) fn as_admin(
        &self,
        node: Node,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Option<Response> {
        node.0.call(method, path, Some(&self.admin.access), body)
    }

    /// Changes the user's `role` or `status` as the administrator.
    pub(crate) fn change(&self, node: Node, field: &str, value: &str) -> Option<Response> {
        let path = format!("/api/v1/user/{}/change-{field}", self.id);
        self.as_admin(node, "PATCH", &path, Some(&json!({ field: value })))
    }

    /// The id of the permission [`GRANTED`] of clients, if they have it.
    pub(crate) fn find_grant(&self, node: Node) -> Option<String> {
        let grants = data(self.as_admin(node, "GET", "/api/v1/permission/client", None));
        let grants = grants.as_array().expect("a list");
        let found = grants.iter().find(|grant| grant["action"] == GRANTED)?;
        Some(found["id"].as_str().expect("an id").to_owned())
    }

    /// A request that needs the permission [`GRANTED`].
    pub(crate) fn list_users(&self, node: Node) -> Response {
        self.as_user(node, "GET", "/api/v1/user/list", None).expect("a response")
    }

    /// Tries to sign in with the original password.
    pub(crate) fn login(&self, node: Node) -> Response {
        node.try_login(&self.email, PASSWORD)
    }
}
