//! The flows that end with the page of a link, by the [purpose](crate::mail::link_for) in the link.

/// A flow: the route that takes its token, and the members that the page adds to the body.
#[derive(Debug)]
pub(super) struct Flow {
    /// The purpose: the name before the `=` of the link.
    pub(super) purpose: &'static str,
    /// The path of the route, below `/api/`.
    pub(super) path: &'static str,
    /// The member for a new password.
    pub(super) password: Option<&'static str>,
    /// The member for a code of an authenticator app.
    pub(super) code: Option<&'static str>,
    /// The member for a recovery code.
    pub(super) recovery_code: Option<&'static str>,
    pub(super) session: Session,
}

/// How a flow relates to sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Session {
    /// It has none to do with.
    None,
    /// It starts one, which the page ends.
    Ended,
    /// It starts one in cookies.
    Started,
    /// It needs that of the cookies.
    Needed,
}

impl Session {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Ended => "ended",
            Self::Started => "started",
            Self::Needed => "needed",
        }
    }

    /// Whether the page needs session cookies for the flow.
    pub(super) const fn needs_cookies(self) -> bool {
        matches!(self, Self::Started | Self::Needed)
    }
}

const fn flow(purpose: &'static str, path: &'static str, session: Session) -> Flow {
    Flow { purpose, path, password: None, code: None, recovery_code: None, session }
}

/// Every flow, in the order of [`Texts::flows`](super::texts::Texts::flows).
pub(super) const FLOWS: [Flow; 7] = [
    Flow {
        password: Some("password"),
        ..flow("sign-up", "v1/auth/signup/confirm", Session::Ended)
    },
    flow("verify-email", "v1/auth/verify-email/confirm", Session::Needed),
    Flow {
        password: Some("new_password"),
        recovery_code: Some("recovery_code"),
        ..flow("recover", "v1/auth/recover/confirm", Session::None)
    },
    flow("change-email", "v1/auth/change-email/confirm", Session::None),
    Flow {
        code: Some("authenticator_code"),
        recovery_code: Some("recovery_code"),
        ..flow("undo-email", "v1/auth/change-email/undo", Session::None)
    },
    Flow { password: Some("password"), ..flow("invite", "v1/auth/invite/confirm", Session::Ended) },
    flow("sign-in", "v1/auth/code/confirm", Session::Started),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use goat_core::testing::sample_letters;
    use goat_core::{Email, Languages};
    use http::Method;

    use super::*;
    use crate::api::table;
    use crate::mail::render::link::purpose;

    #[test]
    fn every_purpose_of_a_letter_has_a_flow() {
        let to = Email::parse("ann@example.org").expect("an address");
        let letters = sample_letters(&to, &Languages::default(), "");
        let purposes: BTreeSet<_> =
            letters.iter().filter_map(|letter| purpose(&letter.message)).collect();
        assert_eq!(purposes, FLOWS.iter().map(|flow| flow.purpose).collect());
    }

    #[test]
    fn every_flow_has_a_route() {
        let table = table();
        for flow in FLOWS {
            let path = format!("/api/{}", flow.path);
            let found = table.iter().find(|endpoint| endpoint.path() == path);
            assert_eq!(found.map(|found| found.method()), Some(&Method::POST), "{path}");
        }
    }
}
