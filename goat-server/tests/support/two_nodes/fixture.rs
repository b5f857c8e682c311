//! Somebody with two sessions, and an administrator.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::support::node::{Node, PASSWORD, Person, data};
use crate::support::process::Response;

/// What somebody who changes their password changes it to.
pub(crate) const NEW_PASSWORD: &str = "seven lamps over the quay";

/// Whom an act is about.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) email: String,
    pub(crate) id: String,
    /// The session that acts.
    pub(crate) ann: Person,
    /// Another session of the same user, and its id.
    pub(crate) second: Person,
    pub(crate) session: String,
    pub(crate) admin: Person,
    /// The id of the permission that is to be taken from clients.
    pub(crate) grant: String,
}

impl Scene {
    /// A new user, made through the node.
    pub(crate) fn new(node: Node, admin: &Person) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let email = format!("ann{}@example.org", COUNT.fetch_add(1, Ordering::Relaxed));
        node.sign_up(&email);
        let (ann, second) = (node.login(&email), node.login(&email));
        let id = data(Some(node.profile(&ann)))["id"].as_str().expect("an id").to_owned();
        let sessions = data(node.0.get("/api/v1/sessions", &ann.access));
        let sessions = sessions.as_array().expect("a list");
        let session = sessions.iter().find(|one| one["current"] == false).expect("the second");
        let session = session["id"].as_str().expect("an id").to_owned();
        Self { email, id, ann, second, session, admin: admin.clone(), grant: String::new() }
    }

    /// Asks as the session that acts. None if the connection broke before the complete response.
    pub(crate) fn ask(
        &self,
        node: Node,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Option<Response> {
        node.0.call(method, path, Some(&self.ann.access), body)
    }

    /// Asks as the administrator.
    pub(crate) fn command(
        &self,
        node: Node,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Option<Response> {
        node.0.call(method, path, Some(&self.admin.access), body)
    }

    /// Has the administrator change what is the user's: the role, the status.
    pub(crate) fn change(&self, node: Node, what: &str, value: &str) -> Option<Response> {
        let path = format!("/api/v1/user/{}/change-{what}", self.id);
        self.command(node, "PATCH", &path, Some(&json!({ what: value })))
    }

    /// The id of the permission that lets clients read users, where they have it.
    pub(crate) fn find_grant(&self, node: Node) -> Option<String> {
        let grants = data(self.command(node, "GET", "/api/v1/permission/client", None));
        let grants = grants.as_array().expect("a list");
        let found = grants.iter().find(|grant| grant["action"] == GRANTED)?;
        Some(found["id"].as_str().expect("an id").to_owned())
    }

    /// The status of what only some may ask for.
    pub(crate) fn guarded(&self, node: Node) -> Response {
        self.ask(node, "GET", "/api/v1/user/list", None).expect("a response")
    }

    /// How a login with the password that the user began with ends.
    pub(crate) fn login(&self, node: Node) -> Response {
        node.try_login(&self.email, PASSWORD)
    }
}

/// What clients may do where a test lets them.
pub(crate) const GRANTED: &str = "user:read";
