//! The flows of a client, and their postconditions with and without a successful response.

use std::time::{Duration, Instant};

use serde_json::json;

use super::responses::{RECOVERY, once_recovered};
use crate::support::node::{Node, PASSWORD, Tokens};
use crate::support::process::Response;
use crate::support::two_nodes::{Fixture, NEW_PASSWORD, Operation};

/// A flow on the node with the failing backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    SignUp,
    Login,
    Cached,
    Cold,
    List,
    Refresh,
    Operation(Operation),
}

impl Flow {
    /// The longest come first, so that concurrent sweeps end together.
    pub(crate) const ALL: [Self; 17] = [
        Self::Operation(Operation::ChangePassword),
        Self::Operation(Operation::Delete),
        Self::Operation(Operation::Suspend),
        Self::Operation(Operation::RevokeByAdministrator),
        Self::Operation(Operation::RevokeAll),
        Self::Login,
        Self::SignUp,
        Self::Refresh,
        Self::Operation(Operation::RevokeSession),
        Self::Operation(Operation::RaiseRole),
        Self::Operation(Operation::LowerRole),
        Self::Operation(Operation::Grant),
        Self::Operation(Operation::RevokeGrant),
        Self::Operation(Operation::Logout),
        Self::List,
        Self::Cold,
        Self::Cached,
    ];

    /// The flows that differ if sessions are in Redis.
    pub(crate) const OF_BOTH: [Self; 9] = [
        Self::Operation(Operation::ChangePassword),
        Self::Operation(Operation::Suspend),
        Self::Operation(Operation::RevokeAll),
        Self::Login,
        Self::SignUp,
        Self::Refresh,
        Self::Operation(Operation::RevokeGrant),
        Self::Operation(Operation::Logout),
        Self::Cold,
    ];

    /// Whether the fixture can be used again after the flow.
    pub(crate) fn keeps_sessions(self) -> bool {
        use Operation::{Grant, LowerRole, RaiseRole, RevokeGrant};
        matches!(
            self,
            Self::Cached
                | Self::List
                | Self::Operation(RaiseRole | LowerRole | Grant | RevokeGrant)
        )
    }

    /// Prepares the state that the flow needs. `at` is the node under test, `sound` one whose backends do
    /// not fail.
    pub(crate) fn prepare(self, at: Node, sound: Node, fixture: &mut Fixture) {
        if let Self::Operation(operation) = self {
            operation.prepare(sound, fixture);
        }
        if self == Self::Refresh {
            // The stores keep the session of a password in another form.
            fixture.first = sound.login(&fixture.email);
        }
        if self == Self::Cached {
            at.wait_until_connected();
            for _ in 0..2 {
                let response = once_recovered("warm", || Some(at.profile(&fixture.first)));
                assert_eq!(response.status, 200, "{response:?}");
            }
        }
        // The administrator's session is cached, so that only the operation reaches the backend.
        let known = once_recovered("warm", || Some(at.profile(&fixture.admin)));
        assert_eq!(known.status, 200, "{known:?}");
    }

    /// Sends the request of the flow.
    pub(crate) fn send(self, at: Node, fixture: &Fixture) -> Option<Response> {
        let credentials = |email: &str| json!({"email": email, "password": PASSWORD});
        match self {
            Self::SignUp => {
                let body = credentials(&new_email(fixture));
                at.0.post("/api/v1/auth/signup", None, &body)
            }
            Self::Login => at.0.post("/api/v1/auth/login", None, &credentials(&fixture.email)),
            Self::Cached | Self::Cold => fixture.as_user(at, "GET", "/api/v1/user", None),
            Self::List => fixture.as_admin(at, "GET", "/api/v1/user/list", None),
            Self::Refresh => {
                let body = json!({"refresh_token": fixture.first.refresh});
                at.0.post("/api/v1/auth/refresh", None, &body)
            }
            Self::Operation(operation) => operation.perform(at, fixture),
        }
    }

    /// Checks the postconditions on both nodes after the recovery.
    pub(crate) fn check(
        self,
        case: &str,
        [at, sound]: [Node; 2],
        fixture: &Fixture,
        response: Option<&Response>,
    ) {
        let profile =
            |node: Node, tokens: &Tokens| once_recovered(case, || Some(node.profile(tokens)));
        let good = |tokens: &Tokens| {
            for node in [at, sound] {
                let response = profile(node, tokens);
                assert_eq!(response.status, 200, "{case}: {response:?}");
            }
        };
        match self {
            Self::SignUp => {
                let again = once_recovered(case, || self.send(at, fixture));
                let expected: &[u16] = if response.is_some() { &[409] } else { &[201, 409] };
                assert!(expected.contains(&again.status), "{case}: {again:?}");
                let email = new_email(fixture);
                let login = once_recovered(case, || Some(at.try_login(&email, PASSWORD)));
                assert_eq!(login.status, 200, "{case}: {login:?}");
                good(&Tokens::of(&login));
            }
            Self::Login => {
                if let Some(response) = response {
                    good(&Tokens::of(response));
                }
                // No partial write: every listed session can be revoked.
                let path = "/api/v1/sessions";
                let list = once_recovered(case, || fixture.as_user(sound, "GET", path, None));
                let count = list.body["data"].as_array().map_or(0, Vec::len);
                let expected = if response.is_some() { 3..=3 } else { 2..=3 };
                assert!(expected.contains(&count), "{case}: {list:?}");
                good(&Tokens::of(&once_recovered(case, || Some(fixture.login(at)))));
                let ended = once_recovered(case, || {
                    fixture.as_user(at, "DELETE", path, Some(&json!({"all": true})))
                });
                assert_eq!(ended.status, 200, "{case}: {ended:?}");
                if let Some(response) = response {
                    assert_ended(case, [at, sound], &Tokens::of(response));
                }
            }
            Self::Cached | Self::Cold | Self::List => good(&fixture.first),
            Self::Refresh => {
                if let Some(response) = response {
                    good(&Tokens::of(response));
                }
                // R3: the same token works on either node, whether there was a response or not, and
                // returns the same successor.
                let first = once_recovered(case, || Some(sound.refresh(&fixture.first)));
                let second = once_recovered(case, || Some(at.refresh(&fixture.first)));
                for (response, node) in [(&first, at), (&second, sound)] {
                    assert_eq!(response.status, 200, "{case}: {response:?}");
                    assert_eq!(profile(node, &Tokens::of(response)).status, 200, "{case}");
                }
                let next = |response: &Response| Tokens::of(response).refresh;
                assert_eq!(next(&first), next(&second), "{case}: R1: one successor");
                if let Some(response) = response {
                    assert_eq!(next(response), next(&first), "{case}: R1: one successor");
                }
            }
            Self::Operation(operation) => {
                self.check_operation(operation, case, [at, sound], fixture, response);
            }
        }
    }

    fn check_operation(
        self,
        operation: Operation,
        case: &str,
        nodes: [Node; 2],
        fixture: &Fixture,
        response: Option<&Response>,
    ) {
        let probe =
            |node: Node| once_recovered(case, || Some(operation.probe(node, fixture))).status;
        let (was, is) = operation.statuses();
        let all = |status: u16| {
            let begun = Instant::now();
            while !nodes.into_iter().all(|node| probe(node) == status) {
                assert!(begun.elapsed() < RECOVERY, "{case}: never {status} on both nodes");
                std::thread::sleep(Duration::from_millis(10));
            }
            // Permanently.
            assert!(nodes.into_iter().all(|node| probe(node) == status), "{case}");
        };
        if response.is_some() {
            // An acknowledged operation is in effect.
            all(is);
        } else {
            // The operation was performed or not, and both nodes agree eventually.
            let begun = Instant::now();
            loop {
                let [one, other] = nodes.map(probe);
                assert!([was, is].contains(&one) && [was, is].contains(&other), "{case}");
                if one == other {
                    break;
                }
                assert!(begun.elapsed() < RECOVERY, "{case}: the nodes do not agree");
            }
            // A retry performs the operation, or reports that it is done.
            let again = once_recovered(case, || operation.perform(nodes[0], fixture));
            assert!(
                (200..300).contains(&again.status) || [401, 403, 404, 409].contains(&again.status),
                "{case}: {again:?}"
            );
            all(is);
        }
        match operation {
            Operation::ChangePassword => {
                // Exactly one of the two passwords is valid.
                for (password, expected) in [(PASSWORD, 401), (NEW_PASSWORD, 200)] {
                    let login =
                        once_recovered(case, || Some(nodes[1].try_login(&fixture.email, password)));
                    assert_eq!(login.status, expected, "{case}: {login:?}");
                }
                assert_ended(case, nodes, &fixture.second);
            }
            Operation::Suspend => {
                assert_eq!(
                    once_recovered(case, || Some(fixture.login(nodes[0]))).status,
                    403,
                    "{case}"
                );
                assert_ended(case, nodes, &fixture.second);
                // R4: reactivation restores no session.
                let back = once_recovered(case, || fixture.change(nodes[0], "status", "active"));
                assert_eq!(back.status, 200, "{case}: {back:?}");
                assert_ended(case, nodes, &fixture.first);
            }
            Operation::RevokeAll | Operation::RevokeByAdministrator | Operation::Delete => {
                assert_ended(case, nodes, &fixture.first);
                assert_ended(case, nodes, &fixture.second);
            }
            Operation::Logout => assert_ended(case, nodes, &fixture.first),
            Operation::RevokeSession => assert_ended(case, nodes, &fixture.second),
            _ => {}
        }
    }
}

/// R4: asserts that both tokens of the session are rejected on both nodes.
fn assert_ended(case: &str, nodes: [Node; 2], tokens: &Tokens) {
    for node in nodes {
        let begun = Instant::now();
        while once_recovered(case, || Some(node.profile(tokens))).status != 401 {
            assert!(begun.elapsed() < RECOVERY, "{case}: still accepted");
        }
        let refused = once_recovered(case, || Some(node.refresh(tokens)));
        assert_eq!(refused.status, 401, "{case}: {refused:?}");
    }
}

fn new_email(fixture: &Fixture) -> String {
    format!("new-{}", fixture.email)
}
