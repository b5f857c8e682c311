//! What an entry of the route table is made of.
//!
//! Invariant: there is no endpoint without a rule, and the rule decides which limits it has. A
//! handler is reached only through both.

use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};
use goat_core::Permission;
use http::Method;

use crate::api::AppState;

/// Who may call an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Anyone, as often as this limit says.
    Public(PublicLimit),
    /// Who shows a refresh token, which the handler has verified.
    RefreshToken,
    /// Who shows an access token of a live session.
    Authenticated,
    /// Who shows one, and whose role has this permission.
    Permission(Permission),
}

/// How often anyone may call a public endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicLimit {
    /// By client address, in a bucket of this name: passwords are tried or made here.
    Auth(&'static str),
    /// By client address, in one bucket for all of these.
    Public,
    /// As often as they like: what a probe or a scraper asks.
    Unlimited,
}

impl Rule {
    /// Whether an access token must be shown.
    #[must_use]
    pub const fn is_protected(&self) -> bool {
        matches!(self, Self::Authenticated | Self::Permission(_))
    }
}

/// An entry of the route table: a method, a path, the rule, and the handler.
#[derive(Clone, Debug)]
pub struct Endpoint {
    method: Method,
    path: &'static str,
    rule: Rule,
    handler: MethodRouter<AppState>,
}

/// One maker for each method that there is here.
macro_rules! makers {
    ($($name:ident, $method:ident;)*) => {$(
        pub(super) fn $name<H, T>(path: &'static str, rule: Rule, handler: H) -> Self
        where
            H: Handler<T, AppState>,
            T: 'static,
        {
            let handler = on(MethodFilter::$method, handler);
            Self { method: Method::$method, path, rule, handler }
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

    /// The method. GET answers HEAD too, without the body.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// The template of the path, such as `/api/v1/user/{id}`.
    #[must_use]
    pub const fn path(&self) -> &'static str {
        self.path
    }

    /// Who may call it.
    #[must_use]
    pub const fn rule(&self) -> &Rule {
        &self.rule
    }

    pub(super) fn into_handler(self) -> MethodRouter<AppState> {
        self.handler
    }
}
