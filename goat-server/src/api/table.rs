//! The route table: every method and path, with its rule and handler.

use goat_core::Permission;
use goat_core::access::permissions::{
    USER_CHANGE_ROLE, USER_CHANGE_STATUS, USER_DELETE, USER_READ, USER_UPDATE, USER_WRITE,
};

use super::PublicLimit::{Auth, Public, Unlimited};
use super::{Endpoint, PublicLimit, Rule};
use crate::api::routes::auth::{login, logout, refresh, signup, verify};
use crate::api::routes::user::{admin, list, me};
use crate::api::routes::{meta, permissions, roles, sessions};

/// The path of the metrics, which can have a listener of their own.
pub(super) const METRICS: &str = "/api/metrics";

/// The permission to read the metrics where they are not public.
pub(super) const METRICS_READ: Permission = Permission::new("metrics:read");

const FULL_ACCESS: Rule = Rule::Permission(Permission::FULL_ACCESS);
const SIGNED_IN: Rule = Rule::Authenticated;
const SESSION_CONTROL: Rule = Rule::SessionControl;

const fn requires(permission: Permission) -> Rule {
    Rule::Permission(permission)
}

const fn public(limit: PublicLimit) -> Rule {
    Rule::Public(limit)
}

/// Returns every endpoint. The metrics are public here, as in development and on a listener of their
/// own; see [`router`](super::router).
#[must_use]
#[rustfmt::skip]
pub fn table() -> Vec<Endpoint> {
    vec![
        Endpoint::post("/api/v1/auth/signup", public(Auth("signup")), signup::sign_up),
        Endpoint::post("/api/v1/auth/login", public(Auth("login")), login::login),
        Endpoint::post("/api/v1/auth/refresh", Rule::RefreshToken, refresh::refresh),
        Endpoint::post("/api/v1/auth/logout", SESSION_CONTROL, logout::logout),
        Endpoint::get("/api/v1/auth/verify", Rule::Verify, verify::verify),

        Endpoint::get("/api/v1/user", SIGNED_IN, me::profile),
        Endpoint::post("/api/v1/user", requires(USER_WRITE), admin::create),
        Endpoint::delete("/api/v1/user", SIGNED_IN, me::delete_self),
        Endpoint::patch("/api/v1/user/change-email", SIGNED_IN, me::change_email),
        Endpoint::patch("/api/v1/user/change-password", SESSION_CONTROL, me::change_password),
        Endpoint::get("/api/v1/user/list", requires(USER_READ), list::list),
        Endpoint::get("/api/v1/user/{id}", requires(USER_READ), list::find),
        Endpoint::put("/api/v1/user/{id}", requires(USER_UPDATE), admin::update),
        Endpoint::delete("/api/v1/user/{id}", requires(USER_DELETE), admin::delete),
        Endpoint::patch("/api/v1/user/{id}/change-role", requires(USER_CHANGE_ROLE), admin::change_role),
        Endpoint::patch("/api/v1/user/{id}/change-status", requires(USER_CHANGE_STATUS), admin::change_status),
        Endpoint::get("/api/v1/user/{id}/sessions", requires(USER_READ), admin::sessions),
        Endpoint::delete("/api/v1/user/{id}/sessions", requires(USER_UPDATE), admin::revoke_sessions),

        Endpoint::get("/api/v1/sessions", SIGNED_IN, sessions::list),
        Endpoint::delete("/api/v1/sessions", SESSION_CONTROL, sessions::revoke),
        Endpoint::delete("/api/v1/sessions/{id}", SESSION_CONTROL, sessions::revoke_one),

        Endpoint::get("/api/v1/role", FULL_ACCESS, roles::list),
        Endpoint::post("/api/v1/role", FULL_ACCESS, roles::create),
        Endpoint::patch("/api/v1/role/{name}", FULL_ACCESS, roles::set_rank),
        Endpoint::delete("/api/v1/role/{name}", FULL_ACCESS, roles::delete),
        Endpoint::get("/api/v1/permission", FULL_ACCESS, permissions::list),
        Endpoint::post("/api/v1/permission", FULL_ACCESS, permissions::grant),
        Endpoint::get("/api/v1/permission/{key}", FULL_ACCESS, permissions::of_role),
        Endpoint::delete("/api/v1/permission/{key}", FULL_ACCESS, permissions::revoke),

        Endpoint::get("/.well-known/jwks.json", public(Public), meta::jwks),
        Endpoint::get("/api/health", public(Unlimited), meta::health),
        Endpoint::get("/api/ready", public(Unlimited), meta::ready),
        Endpoint::get(METRICS, public(Unlimited), meta::metrics),
        Endpoint::get("/api/openapi.json", public(Public), meta::openapi),
        Endpoint::get("/api/docs", public(Public), meta::docs),
        Endpoint::get("/api/docs/page.css", public(Public), meta::docs_style),
        Endpoint::get("/api/docs/page.js", public(Public), meta::docs_script),
    ]
}
