//! The route table: every method and path, with its group, rule and handler.

use goat_core::Permission;
use goat_core::access::permissions::{
    SESSION_CREATE, TOKEN_INTROSPECT, USER_CHANGE_ROLE, USER_CHANGE_STATUS, USER_DELETE, USER_READ,
    USER_UPDATE, USER_WRITE,
};

use super::Group::{Accounts, Administration, Operations};
use super::PublicLimit::{Auth, Public, Unlimited};
use super::{Endpoint, PublicLimit, Rule};
use crate::api::routes::auth::{
    change_email, code, confirm, introspect, invite, login, logout, recover, refresh, revoke,
    signup, signup_confirm, step_up, verify, verify_email,
};
use crate::api::routes::user::{
    admin, attributes, invite as user_invite, keys as user_keys, list, me, recover as user_recover,
    service, session, verify_email as user_verify_email,
};
use crate::api::routes::{keys, link, meta, permissions, roles, sessions};

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

/// Returns every endpoint, with its path as it is without a prefix. The metrics are public here, as in
/// development and on a listener of their own.
#[must_use]
#[rustfmt::skip]
pub fn table() -> Vec<Endpoint> {
    vec![
        Endpoint::post(Accounts, "/api/v1/auth/signup", public(Auth("signup")), signup::sign_up),
        Endpoint::post(Accounts, "/api/v1/auth/signup/confirm", public(Auth("signup-confirm")), signup_confirm::confirm_sign_up).of_confirmed_sign_up(),
        Endpoint::post(Accounts, "/api/v1/auth/login", public(Auth("login")), login::login),
        Endpoint::post(Accounts, "/api/v1/auth/login/confirm", public(Auth("login-confirm")), confirm::confirm),
        Endpoint::post(Accounts, "/api/v1/auth/refresh", Rule::RefreshToken, refresh::refresh),
        Endpoint::post(Accounts, "/api/v1/auth/logout", SESSION_CONTROL, logout::logout).session_only(),
        Endpoint::post(Accounts, "/api/v1/auth/step-up", SESSION_CONTROL, step_up::step_up).session_only(),
        Endpoint::post(Accounts, "/api/v1/auth/recover", public(Auth("recover")), recover::request).of_mail(),
        Endpoint::post(Accounts, "/api/v1/auth/recover/confirm", public(Auth("recover-confirm")), recover::confirm).of_mail(),
        Endpoint::post(Accounts, "/api/v1/auth/verify-email/confirm", SIGNED_IN, verify_email::confirm).session_only().of_mail(),
        Endpoint::post(Accounts, "/api/v1/auth/change-email/confirm", public(Auth("change-email-confirm")), change_email::confirm).of_mail(),
        Endpoint::post(Accounts, "/api/v1/auth/change-email/undo", public(Auth("change-email-undo")), change_email::undo).of_mail(),
        Endpoint::post(Accounts, "/api/v1/auth/code", public(Auth("code")), code::request).of_email_sign_in(),
        Endpoint::post(Accounts, "/api/v1/auth/code/confirm", public(Auth("code-confirm")), code::confirm).of_email_sign_in(),
        Endpoint::post(Accounts, "/api/v1/auth/invite/confirm", public(Auth("invite-confirm")), invite::accept).of_mail(),
        Endpoint::get(Accounts, "/api/v1/auth/verify", Rule::Verify, verify::verify),
        Endpoint::post(Accounts, "/api/v1/auth/introspect", Rule::Lookup(TOKEN_INTROSPECT), introspect::introspect),
        Endpoint::post(Accounts, "/api/v1/auth/revoke", public(Public), revoke::revoke),

        Endpoint::get(Accounts, "/api/v1/user", SIGNED_IN, me::profile),
        Endpoint::post(Administration, "/api/v1/user", requires(USER_WRITE), admin::create),
        Endpoint::delete(Accounts, "/api/v1/user", SIGNED_IN, me::delete_self).session_only(),
        Endpoint::patch(Accounts, "/api/v1/user/attributes", SIGNED_IN, attributes::change_own),
        Endpoint::post(Accounts, "/api/v1/user/verify-email", SIGNED_IN, user_verify_email::request).session_only().of_mail(),
        Endpoint::patch(Accounts, "/api/v1/user/change-email", SIGNED_IN, me::change_email).session_only(),
        Endpoint::patch(Accounts, "/api/v1/user/change-password", SESSION_CONTROL, me::change_password).session_only(),
        Endpoint::post(Administration, "/api/v1/user/service", requires(USER_WRITE), service::create),
        Endpoint::post(Administration, "/api/v1/user/invite", requires(USER_WRITE), user_invite::invite).of_mail(),
        Endpoint::get(Administration, "/api/v1/user/list", requires(USER_READ), list::list).large(),
        Endpoint::get(Administration, "/api/v1/user/{id}", requires(USER_READ), list::find),
        Endpoint::put(Administration, "/api/v1/user/{id}", requires(USER_UPDATE), admin::update).session_only(),
        Endpoint::delete(Administration, "/api/v1/user/{id}", requires(USER_DELETE), admin::delete),
        Endpoint::patch(Administration, "/api/v1/user/{id}/change-role", requires(USER_CHANGE_ROLE), admin::change_role),
        Endpoint::patch(Administration, "/api/v1/user/{id}/change-status", requires(USER_CHANGE_STATUS), admin::change_status),
        Endpoint::patch(Administration, "/api/v1/user/{id}/attributes", requires(USER_UPDATE), attributes::change),
        Endpoint::get(Administration, "/api/v1/user/{id}/sessions", requires(USER_READ), admin::sessions).session_only().large(),
        Endpoint::delete(Administration, "/api/v1/user/{id}/sessions", requires(USER_UPDATE), admin::revoke_sessions).session_only(),
        Endpoint::post(Administration, "/api/v1/user/{id}/session", requires(SESSION_CREATE), session::open).naming_keys_only(),
        Endpoint::post(Administration, "/api/v1/user/{id}/invite", requires(USER_WRITE), user_invite::invite_again).of_mail(),
        Endpoint::post(Administration, "/api/v1/user/{id}/recover", requires(USER_UPDATE), user_recover::start).session_only().of_mail(),
        Endpoint::post(Administration, "/api/v1/user/{id}/keys", requires(USER_UPDATE), user_keys::create).recent().of_keys(),
        Endpoint::get(Administration, "/api/v1/user/{id}/keys", requires(USER_READ), user_keys::list).session_only().large().of_keys(),
        Endpoint::delete(Administration, "/api/v1/user/{id}/keys/{key}", requires(USER_UPDATE), user_keys::revoke).session_only().of_keys(),

        Endpoint::post(Accounts, "/api/v1/keys", SIGNED_IN, keys::create).recent().of_keys(),
        Endpoint::get(Accounts, "/api/v1/keys", SIGNED_IN, keys::list).session_only().large().of_keys(),
        Endpoint::delete(Accounts, "/api/v1/keys/{id}", SESSION_CONTROL, keys::revoke).session_only().of_keys(),

        Endpoint::get(Accounts, "/api/v1/sessions", SIGNED_IN, sessions::list).session_only().large(),
        Endpoint::delete(Accounts, "/api/v1/sessions", SESSION_CONTROL, sessions::revoke).session_only(),
        Endpoint::delete(Accounts, "/api/v1/sessions/{id}", SESSION_CONTROL, sessions::revoke_one).session_only(),

        Endpoint::get(Administration, "/api/v1/role", FULL_ACCESS, roles::list).large(),
        Endpoint::post(Administration, "/api/v1/role", FULL_ACCESS, roles::create),
        Endpoint::patch(Administration, "/api/v1/role/{name}", FULL_ACCESS, roles::set_rank),
        Endpoint::delete(Administration, "/api/v1/role/{name}", FULL_ACCESS, roles::delete),
        Endpoint::get(Administration, "/api/v1/permission", FULL_ACCESS, permissions::list).large(),
        Endpoint::post(Administration, "/api/v1/permission", FULL_ACCESS, permissions::grant),
        Endpoint::get(Administration, "/api/v1/permission/{key}", FULL_ACCESS, permissions::of_role).large(),
        Endpoint::delete(Administration, "/api/v1/permission/{key}", FULL_ACCESS, permissions::revoke),

        Endpoint::get(Accounts, "/api/link", public(Public), link::page).of_mail(),
        Endpoint::get(Accounts, "/api/link/page.css", public(Public), link::style).of_mail(),
        Endpoint::get(Accounts, "/api/link/page.js", public(Public), link::script).of_mail(),

        Endpoint::get(Accounts, "/.well-known/jwks.json", public(Public), meta::jwks),
        Endpoint::get(Operations, "/api/health", public(Unlimited), meta::health),
        Endpoint::get(Operations, "/api/ready", public(Unlimited), meta::ready),
        Endpoint::get(Operations, METRICS, public(Unlimited), meta::metrics).large(),
        Endpoint::get(Operations, "/api/openapi.json", public(Public), meta::openapi),
        Endpoint::get(Operations, "/api/docs", public(Public), meta::docs),
        Endpoint::get(Operations, "/api/docs/page.css", public(Public), meta::docs_style),
        Endpoint::get(Operations, "/api/docs/page.js", public(Public), meta::docs_script),
    ]
}
