//! Entries of the route table.
//!
//! Invariant: every endpoint has a rule, and the rule decides its limits and guards. A handler is
//! reached only through them.

use std::fmt;
use std::sync::Arc;

use axum::handler::Handler;
use goat_core::{Goat, Permission, Signup};
use http::Method;

use super::stack::routes::{BoxedResponse, Route};
use crate::api::{AppState, Group};

/// The credential and permission that an endpoint requires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// No credential; limited by client address.
    Public(PublicLimit),
    /// A refresh token, which the handler verifies.
    RefreshToken,
    /// An access token of a live session, or an API key.
    Authenticated,
    /// As [`Rule::Authenticated`], limited per session and not per user: for the calls by which a user
    /// ends sessions while another session exhausts the limit per user (D1).
    SessionControl,
    /// As [`Rule::Authenticated`], with a limit of its own per user, and without the limit by address
    /// if a trusted proxy calls: a proxy calls once for each request that it forwards.
    Verify,
    /// An access token of a live session, or an API key, and this permission.
    Permission(Permission),
    /// As [`Rule::Permission`], for an endpoint that changes nothing although its method is POST.
    Lookup(Permission),
    /// As [`Rule::Permission`], without limits: for scrapers.
    Scrape(Permission),
}

/// The rate limit of a public endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicLimit {
    /// By client address, in a counter of this name: for endpoints that check or set passwords.
    Auth(&'static str),
    /// By client address, in one counter for all such endpoints.
    Public,
    /// No limit: for probes and scrapers.
    Unlimited,
}

impl Rule {
    /// Whether an access token or an API key is required.
    #[must_use]
    pub const fn is_protected(&self) -> bool {
        match self {
            Self::Public(_) | Self::RefreshToken => false,
            Self::Authenticated
            | Self::SessionControl
            | Self::Verify
            | Self::Permission(_)
            | Self::Lookup(_)
            | Self::Scrape(_) => true,
        }
    }
}

/// An entry of the route table: method, group, path, rule and handler.
#[derive(Clone)]
pub struct Endpoint {
    method: Method,
    group: Group,
    path: &'static str,
    rule: Rule,
    needs_recent: bool,
    needs: Option<Feature>,
    accepts: Accepts,
    handler: Arc<WithState>,
}

/// A feature that settings switch on, with endpoints that do not exist without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feature {
    /// API keys.
    Keys,
    /// Mail to users.
    Mail,
    /// Sign-up that the mailbox confirms.
    ConfirmedSignUp,
    /// Sign-in by e-mail.
    EmailSignIn,
}

impl Feature {
    /// Whether the feature is switched on.
    fn is_on(self, goat: &Goat) -> bool {
        let settings = goat.settings();
        match self {
            Self::Keys => settings.keys,
            Self::Mail => goat.has_courier(),
            Self::ConfirmedSignUp => settings.signup == Signup::Confirmed,
            Self::EmailSignIn => settings.email_sign_in,
        }
    }
}

/// The credentials that a protected endpoint accepts; any other one is a 403 `session-required`, after the
/// check of the permission (K2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepts {
    /// Sessions and API keys.
    Any,
    /// Sessions only.
    Session,
    /// Sessions, and API keys whose scopes name the permission of the rule.
    NamingKeys,
}

/// Gives a handler its state.
type WithState = dyn Fn(AppState) -> Route + Send + Sync;

/// One constructor per HTTP method.
macro_rules! makers {
    ($($name:ident, $method:ident;)*) => {$(
        pub(super) fn $name<H, T>(group: Group, path: &'static str, rule: Rule, handler: H) -> Self
        where
            H: Handler<T, AppState, Future = BoxedResponse>,
            T: 'static,
        {
            let with_state = move |state: AppState| {
                let handler = handler.clone();
                Route::new(move |request| handler.clone().call(request, state.clone()))
            };
            let (method, handler) = (Method::$method, Arc::new(with_state));
            let (needs_recent, needs, accepts) = (false, None, Accepts::Any);
            Self { method, group, path, rule, needs_recent, needs, accepts, handler }
        }
    )*};
}

impl Endpoint {
    makers! {
        get, GET;
        post, POST;
        put, PUT;
        patch, PATCH;
        delete, DELETE;
    }

    /// Returns the method. GET also serves HEAD, without the body.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// Returns the group.
    #[must_use]
    pub const fn group(&self) -> Group {
        self.group
    }

    /// Returns the path template without the prefix of a mount, such as `/api/v1/user/{id}`.
    #[must_use]
    pub const fn path(&self) -> &'static str {
        self.path
    }

    /// Returns the rule.
    #[must_use]
    pub const fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Returns the credentials that a protected endpoint accepts.
    #[must_use]
    pub const fn accepts(&self) -> Accepts {
        self.accepts
    }

    /// Returns the endpoint for sessions only.
    pub(super) fn session_only(self) -> Self {
        Self { accepts: Accepts::Session, ..self }
    }

    /// Returns the endpoint for sessions, and for API keys that name its permission.
    pub(super) fn naming_keys_only(self) -> Self {
        Self { accepts: Accepts::NamingKeys, ..self }
    }

    /// Whether a request may change data.
    pub(super) fn changes(&self) -> bool {
        !self.method.is_safe() && !matches!(self.rule, Rule::Lookup(_))
    }

    /// Whether a session needs a recent proof, whatever the settings say.
    #[must_use]
    pub const fn needs_recent(&self) -> bool {
        self.needs_recent
    }

    /// Returns the feature without which the endpoint does not exist.
    pub(super) const fn needs(&self) -> Option<Feature> {
        self.needs
    }

    /// Whether the endpoint exists: its feature is switched on.
    pub(super) fn exists(&self, goat: &Goat) -> bool {
        self.needs.is_none_or(|feature| feature.is_on(goat))
    }

    /// Returns the endpoint for sessions with a recent proof.
    pub(super) fn recent(self) -> Self {
        Self { needs_recent: true, ..self.session_only() }
    }

    /// Returns the endpoint for servers with API keys.
    pub(super) fn of_keys(self) -> Self {
        Self { needs: Some(Feature::Keys), ..self }
    }

    /// Returns the endpoint for servers that send mail.
    pub(super) fn of_mail(self) -> Self {
        Self { needs: Some(Feature::Mail), ..self }
    }

    /// Returns the endpoint for servers where the mailbox confirms a sign-up.
    pub(super) fn of_confirmed_sign_up(self) -> Self {
        Self { needs: Some(Feature::ConfirmedSignUp), ..self }
    }

    /// Returns the endpoint for servers with sign-in by e-mail.
    pub(super) fn of_email_sign_in(self) -> Self {
        Self { needs: Some(Feature::EmailSignIn), ..self }
    }

    /// Returns the endpoint under another rule.
    pub(super) fn under(self, rule: Rule) -> Self {
        Self { rule, ..self }
    }

    /// Returns the endpoint for responses that may be large: an HTTP/2 connection has one of them at a time
    /// (W3).
    pub(super) fn large(self) -> Self {
        let handler = self.handler;
        let handler = Arc::new(move |state| handler(state).one_at_a_time());
        Self { handler, ..self }
    }

    /// Returns the handler, without its guards.
    pub(super) fn handler(&self, state: &AppState) -> Route {
        (self.handler)(state.clone())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Endpoint");
        debug.field("method", &self.method).field("group", &self.group);
        debug.field("path", &self.path).field("rule", &self.rule);
        debug.field("needs_recent", &self.needs_recent).field("accepts", &self.accepts);
        debug.finish_non_exhaustive()
    }
}
