//! The route table: every method and path there is, and who may call it.

use goat_core::Permission;
use goat_core::access::permissions::{
    USER_CHANGE_ROLE, USER_CHANGE_STATUS, USER_DELETE, USER_READ, USER_UPDATE, USER_WRITE,
};

use super::PublicLimit::{Auth, Public, Unlimited};
use super::{Endpoint, METRICS, PublicLimit, Rule};
use crate::routes::user::{list, me, others};
use crate::routes::{auth, meta, permission, role, session, verify};

const FULL_ACCESS: Rule = Rule::Permission(Permission::FULL_ACCESS);
const SIGNED_IN: Rule = Rule::Authenticated;

const fn may(permission: Permission) -> Rule {
    Rule::Permission(permission)
}

const fn anyone(limit: PublicLimit) -> Rule {
    Rule::Public(limit)
}

/// Every endpoint.
#[must_use]
#[rustfmt::skip]
pub fn table() -> Vec<Endpoint> {
    vec![
        Endpoint::post("/api/v1/auth/signup", anyone(Auth("signup")), auth::sign_up),
        Endpoint::post("/api/v1/auth/login", anyone(Auth("login")), auth::login),
        Endpoint::post("/api/v1/auth/refresh", Rule::RefreshToken, auth::refresh),
        Endpoint::post("/api/v1/auth/logout", SIGNED_IN, auth::logout),
        Endpoint::get("/api/v1/auth/verify", SIGNED_IN, verify::verify),

        Endpoint::get("/api/v1/user", SIGNED_IN, me::profile),
        Endpoint::post("/api/v1/user", may(USER_WRITE), others::create),
        Endpoint::delete("/api/v1/user", SIGNED_IN, me::delete_self),
        Endpoint::patch("/api/v1/user/change-email", SIGNED_IN, me::change_email),
        Endpoint::patch("/api/v1/user/change-password", SIGNED_IN, me::change_password),
        Endpoint::get("/api/v1/user/list", may(USER_READ), list::list),
        Endpoint::get("/api/v1/user/{id}", may(USER_READ), list::find),
        Endpoint::put("/api/v1/user/{id}", may(USER_UPDATE), others::update),
        Endpoint::delete("/api/v1/user/{id}", may(USER_DELETE), others::delete),
        Endpoint::patch("/api/v1/user/{id}/change-role", may(USER_CHANGE_ROLE), others::change_role),
        Endpoint::patch("/api/v1/user/{id}/change-status", may(USER_CHANGE_STATUS), others::change_status),
        Endpoint::get("/api/v1/user/{id}/sessions", may(USER_READ), others::sessions),
        Endpoint::delete("/api/v1/user/{id}/sessions", may(USER_UPDATE), others::revoke_sessions),

        Endpoint::get("/api/v1/sessions", SIGNED_IN, session::list),
        Endpoint::delete("/api/v1/sessions", SIGNED_IN, session::revoke),
        Endpoint::delete("/api/v1/sessions/{id}", SIGNED_IN, session::revoke_one),

        Endpoint::get("/api/v1/role", FULL_ACCESS, role::list),
        Endpoint::get("/api/v1/permission", FULL_ACCESS, permission::list),
        Endpoint::post("/api/v1/permission", FULL_ACCESS, permission::grant),
        Endpoint::get("/api/v1/permission/{key}", FULL_ACCESS, permission::of_role),
        Endpoint::delete("/api/v1/permission/{key}", FULL_ACCESS, permission::revoke),

        Endpoint::get("/.well-known/jwks.json", anyone(Public), meta::jwks),
        Endpoint::get("/api/health", anyone(Unlimited), meta::health),
        Endpoint::get("/api/ready", anyone(Unlimited), meta::ready),
        Endpoint::get(METRICS, anyone(Unlimited), meta::metrics),
        Endpoint::get("/api/openapi.json", anyone(Public), meta::openapi),
        Endpoint::get("/api/docs", anyone(Public), meta::docs),
        Endpoint::get("/api/docs/page.css", anyone(Public), meta::docs_style),
        Endpoint::get("/api/docs/page.js", anyone(Public), meta::docs_script),
    ]
}
