//! Every flow as a client sees it, and what must hold afterwards, whether it was answered or not.

use std::time::{Duration, Instant};

use serde_json::json;

use super::responses::{RECOVERY, once_well};
use crate::support::node::{Node, PASSWORD, Person};
use crate::support::process::Response;
use crate::support::two_nodes::{Act, NEW_PASSWORD, Scene};

/// What is asked of the node whose engine fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    SignUp,
    Login,
    Cached,
    Cold,
    List,
    Refresh,
    Act(Act),
}

impl Flow {
    pub(crate) const ALL: [Self; 17] = [
        Self::SignUp,
        Self::Login,
        Self::Cached,
        Self::Cold,
        Self::List,
        Self::Refresh,
        Self::Act(Act::Logout),
        Self::Act(Act::RevokeSession),
        Self::Act(Act::RevokeAll),
        Self::Act(Act::RevokeByAdministrator),
        Self::Act(Act::ChangePassword),
        Self::Act(Act::Suspend),
        Self::Act(Act::Delete),
        Self::Act(Act::RaiseRole),
        Self::Act(Act::LowerRole),
        Self::Act(Act::Grant),
        Self::Act(Act::TakeGrant),
    ];

    /// Those whose way differs where Redis has the sessions; the others go to the database alike.
    pub(crate) const OF_BOTH: [Self; 9] = [
        Self::SignUp,
        Self::Login,
        Self::Cold,
        Self::Refresh,
        Self::Act(Act::Logout),
        Self::Act(Act::RevokeAll),
        Self::Act(Act::ChangePassword),
        Self::Act(Act::Suspend),
        Self::Act(Act::TakeGrant),
    ];

    /// Brings about what it presupposes: `at` is the node that will be asked, `sound` one whose
    /// engines do not fail.
    pub(crate) fn prepare(self, at: Node, sound: Node, scene: &mut Scene) {
        if let Self::Act(act) = self {
            act.prepare(sound, scene);
        }
        if self == Self::Cached {
            at.wait_until_it_hears();
            for _ in 0..2 {
                let response = once_well("warm", || Some(at.profile(&scene.ann)));
                assert_eq!(response.status, 200, "{response:?}");
            }
        }
        // The administrator is known there in any case: what is swept is the act.
        let known = once_well("warm", || Some(at.profile(&scene.admin)));
        assert_eq!(known.status, 200, "{known:?}");
    }

    pub(crate) fn ask(self, at: Node, scene: &Scene) -> Option<Response> {
        let credentials = |email: &str| json!({"email": email, "password": PASSWORD});
        match self {
            Self::SignUp => {
                let body = credentials(&new_email(scene));
                at.0.post("/api/v1/auth/signup", None, &body)
            }
            Self::Login => at.0.post("/api/v1/auth/login", None, &credentials(&scene.email)),
            Self::Cached | Self::Cold => scene.ask(at, "GET", "/api/v1/user", None),
            Self::List => scene.command(at, "GET", "/api/v1/user/list", None),
            Self::Refresh => {
                let body = json!({"refresh_token": scene.ann.refresh});
                at.0.post("/api/v1/auth/refresh", None, &body)
            }
            Self::Act(act) => act.perform(at, scene),
        }
    }

    /// What holds once all is well again, on both nodes.
    pub(crate) fn check(
        self,
        case: &str,
        [at, sound]: [Node; 2],
        scene: &Scene,
        response: Option<&Response>,
    ) {
        let profile = |node: Node, person: &Person| once_well(case, || Some(node.profile(person)));
        let good = |person: &Person| {
            for node in [at, sound] {
                let response = profile(node, person);
                assert_eq!(response.status, 200, "{case}: {response:?}");
            }
        };
        match self {
            Self::SignUp => {
                let again = once_well(case, || self.ask(at, scene));
                let expected: &[u16] = if response.is_some() { &[409] } else { &[201, 409] };
                assert!(expected.contains(&again.status), "{case}: {again:?}");
                let email = new_email(scene);
                let login = once_well(case, || Some(at.try_login(&email, PASSWORD)));
                assert_eq!(login.status, 200, "{case}: {login:?}");
                good(&Person::of(&login));
            }
            Self::Login => {
                if let Some(response) = response {
                    good(&Person::of(response));
                }
                // No half: every session that is listed can be ended, and nothing else is in the way.
                let path = "/api/v1/sessions";
                let list = once_well(case, || scene.ask(sound, "GET", path, None));
                let count = list.body["data"].as_array().map_or(0, Vec::len);
                let expected = if response.is_some() { 3..=3 } else { 2..=3 };
                assert!(expected.contains(&count), "{case}: {list:?}");
                good(&Person::of(&once_well(case, || Some(scene.login(at)))));
                let ended =
                    once_well(case, || scene.ask(at, "DELETE", path, Some(&json!({"all": true}))));
                assert_eq!(ended.status, 200, "{case}: {ended:?}");
                if let Some(response) = response {
                    out(case, [at, sound], &Person::of(response));
                }
            }
            Self::Cached | Self::Cold | Self::List => good(&scene.ann),
            Self::Refresh => {
                if let Some(response) = response {
                    good(&Person::of(response));
                }
                // R3: whoever got no response goes on with the same token, on whichever node; and
                // whoever got one gets the same again.
                let first = once_well(case, || Some(sound.refresh(&scene.ann)));
                let second = once_well(case, || Some(at.refresh(&scene.ann)));
                for (response, node) in [(&first, at), (&second, sound)] {
                    assert_eq!(response.status, 200, "{case}: {response:?}");
                    assert_eq!(profile(node, &Person::of(response)).status, 200, "{case}");
                }
                let next = |response: &Response| Person::of(response).refresh;
                assert_eq!(next(&first), next(&second), "{case}: R1: one successor");
                if let Some(response) = response {
                    assert_eq!(next(response), next(&first), "{case}: R1: one successor");
                }
            }
            Self::Act(act) => self.check_act(act, case, [at, sound], scene, response),
        }
    }

    fn check_act(
        self,
        act: Act,
        case: &str,
        nodes: [Node; 2],
        scene: &Scene,
        response: Option<&Response>,
    ) {
        let probe = |node: Node| once_well(case, || Some(act.probe(node, scene))).status;
        let (was, is) = act.statuses();
        let all = |status: u16| {
            let begun = Instant::now();
            while !nodes.into_iter().all(|node| probe(node) == status) {
                assert!(begun.elapsed() < RECOVERY, "{case}: never {status} on both nodes");
                std::thread::sleep(Duration::from_millis(10));
            }
            // And it stays so.
            assert!(nodes.into_iter().all(|node| probe(node) == status), "{case}");
        };
        if response.is_some() {
            // What was answered is in force.
            all(is);
        } else {
            // It was done or not, and in a while both nodes agree about it.
            let begun = Instant::now();
            loop {
                let [one, other] = nodes.map(probe);
                assert!([was, is].contains(&one) && [was, is].contains(&other), "{case}");
                if one == other {
                    break;
                }
                assert!(begun.elapsed() < RECOVERY, "{case}: the nodes do not agree");
            }
            // Whoever asks again gets it done, or learns that it is.
            let again = once_well(case, || act.perform(nodes[0], scene));
            assert!(
                (200..300).contains(&again.status) || [401, 403, 404, 409].contains(&again.status),
                "{case}: {again:?}"
            );
            all(is);
        }
        match act {
            Act::ChangePassword => {
                // Exactly one of the two is the password.
                for (password, expected) in [(PASSWORD, 401), (NEW_PASSWORD, 200)] {
                    let login =
                        once_well(case, || Some(nodes[1].try_login(&scene.email, password)));
                    assert_eq!(login.status, expected, "{case}: {login:?}");
                }
                out(case, nodes, &scene.second);
            }
            Act::Suspend => {
                assert_eq!(once_well(case, || Some(scene.login(nodes[0]))).status, 403, "{case}");
                out(case, nodes, &scene.second);
                // R4: nor does it come back with the user.
                let back = once_well(case, || scene.change(nodes[0], "status", "active"));
                assert_eq!(back.status, 200, "{case}: {back:?}");
                out(case, nodes, &scene.ann);
            }
            Act::RevokeAll | Act::RevokeByAdministrator | Act::Delete => {
                out(case, nodes, &scene.ann);
                out(case, nodes, &scene.second);
            }
            Act::Logout => out(case, nodes, &scene.ann),
            Act::RevokeSession => out(case, nodes, &scene.second),
            _ => {}
        }
    }
}

/// R4: neither token of the session is good for anything, on either node.
fn out(case: &str, nodes: [Node; 2], person: &Person) {
    for node in nodes {
        let begun = Instant::now();
        while once_well(case, || Some(node.profile(person))).status != 401 {
            assert!(begun.elapsed() < RECOVERY, "{case}: still let in");
        }
        let refused = once_well(case, || Some(node.refresh(person)));
        assert_eq!(refused.status, 401, "{case}: {refused:?}");
    }
}

fn new_email(scene: &Scene) -> String {
    format!("new-{}", scene.email)
}
