//! The OpenAPI document: the handlers' own descriptions, completed from the route table and the
//! conventions of the API.
//!
//! Invariant: security requirements and guard errors of an operation come from the route table, so
//! the document cannot differ from the guards.

mod parts;

use goat_tower::RequestId;
use http::Method;
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use serde::Serialize;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, HeaderBuilder, OpenApi as Document, PathItem, Ref, RefOr, Required, Response,
    ResponseBuilder, Schema, SecurityRequirement,
};
use utoipa::{IntoParams, OpenApi, ToSchema};

use crate::api::endpoint::Feature;
use crate::api::extract::Page;
use crate::api::routes::auth::{
    change_email, code, confirm, introspect, invite, login, logout, recover, refresh, revoke,
    signup, signup_confirm, step_up, verify, verify_email,
};
use crate::api::routes::user::list::ListQuery;
use crate::api::routes::user::{
    admin, attributes, invite as user_invite, keys as user_keys, list, me, recover as user_recover,
    service, session, verify_email as user_verify_email,
};
use crate::api::routes::{keys, link, meta, permissions, roles, sessions};
use crate::api::view::Time;
use crate::api::{Accepts, Endpoint, Mount, PublicLimit, Rule, schemas, table};
use goat_core::Status;
use goat_core::user::{Sort, UserKind};

/// The document, as generated from the handlers.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "goat",
        description = "Authentication, sessions, users, roles and permissions.\n\n\
            A successful response has the form `{\"data\": …}`. An error is a problem document \
            (RFC 9457) with a stable `code`. Times are RFC 3339 in UTC, and ids are ULIDs in upper \
            case. Unknown members and query parameters are rejected. In a query, `+` is a plus and a \
            space is `%20`.",
        license(name = "MIT", identifier = "MIT"),
    ),
    servers((url = "/", description = "This server")),
    paths(
        signup::sign_up, signup_confirm::confirm_sign_up, login::login, confirm::confirm, refresh::refresh,
        logout::logout, step_up::step_up, recover::request, recover::confirm, code::request, code::confirm,
        change_email::confirm, change_email::undo, verify_email::confirm, invite::accept, verify::verify, introspect::introspect, revoke::revoke,
        me::profile, user_verify_email::request, attributes::change_own, me::change_email, me::change_password, me::delete_self,
        list::list, list::find, admin::create, admin::update, admin::delete,
        admin::change_role, admin::change_status, attributes::change, admin::sessions, admin::revoke_sessions,
        session::open, service::create, user_invite::invite, user_invite::invite_again, user_recover::start,
        user_keys::create, user_keys::list, user_keys::revoke, keys::create, keys::list, keys::revoke,
        sessions::list, sessions::revoke, sessions::revoke_one,
        roles::list, roles::create, roles::set_rank, roles::delete,
        permissions::list, permissions::of_role, permissions::grant, permissions::revoke,
        link::page, meta::jwks, meta::health, meta::ready, meta::metrics, meta::openapi, meta::docs,
    ),
    components(schemas(Problem)),
    tags(
        (name = "Authentication", description = "Sign up, sign in, refresh, sign out and verify tokens."),
        (name = "Account", description = "The account of the current user."),
        (name = "Sessions", description = "The sessions of the current user."),
        (name = "API keys", description = "The current user's credentials for programs."),
        (name = "Users", description = "Management of other users."),
        (name = "Permissions", description = "Roles and their permissions."),
        (name = "Server", description = "Health, metrics, public keys and this documentation."),
    ),
)]
struct Handlers;

/// An error (RFC 9457).
#[derive(Serialize, ToSchema)]
struct Problem {
    /// `/errors/` followed by the code.
    #[serde(rename = "type")]
    #[schema(example = "/errors/validation")]
    kind: String,
    /// A short title, always the same for a code.
    #[schema(example = "Invalid request")]
    title: String,
    /// The HTTP status code.
    #[schema(example = 400)]
    status: u16,
    /// The cause of this error and its remedy, in a sentence to show to people.
    detail: String,
    /// The path of the request.
    #[schema(example = "/api/v1/auth/signup")]
    instance: String,
    /// The stable name of the error, for programs.
    #[schema(example = "validation")]
    code: String,
    /// The id of the request, as in the `X-Request-Id` header and in the server's log.
    request_id: String,
    /// For `role-in-use`: the number of users in the role, exact up to 10,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 10_000)]
    users: Option<u32>,
    /// For `second-factor-required`: the pending sign-in, which `POST /api/v1/auth/login/confirm` answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "01KDWMBY00C8X0F4ZCV7J3T9QH")]
    challenge: Option<String>,
    /// For `second-factor-required`: the secret of the pending sign-in. It opens nothing without an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// For `second-factor-required`: the methods that can answer, such as `totp` and `recovery_code`.
    #[serde(skip_serializing_if = "Option::is_none")]
    methods: Option<Vec<String>>,
    /// For `second-factor-required`: the kinds of factors of which the user must enrol one first; empty for a
    /// user with a factor.
    #[serde(skip_serializing_if = "Option::is_none")]
    enrol: Option<Vec<String>>,
    /// For `second-factor-required`: the time at which the pending sign-in expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Time>,
    /// For `validation`: the invalid fields of the request, at most 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 20)]
    errors: Option<Vec<FieldProblem>>,
    /// For `validation` with more invalid fields than `errors` lists: the number of the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    errors_omitted: Option<u32>,
}

/// An invalid field of a request.
#[derive(Serialize, ToSchema)]
struct FieldProblem {
    /// The name of the member or parameter.
    #[schema(example = "password")]
    field: String,
    /// The rule that the field violates, to be read after its name.
    #[schema(example = "must have at least 15 characters")]
    message: String,
}

/// Returns the document of the whole API without a prefix, as indented JSON.
#[must_use]
pub fn openapi() -> String {
    text(&Mount::whole())
}

/// Returns the document of a mount, as indented JSON.
pub(super) fn text(mount: &Mount) -> String {
    // Serializing strings, maps and lists does not fail.
    document(mount).to_pretty_json().unwrap_or_default()
}

/// The names of the security schemes.
const BEARER: &str = "bearer";
const COOKIE: &str = "cookie";

/// The cookie of the access token.
const ACCESS_COOKIE: &str = "__Host-goat-access";

/// Returns the document of a mount.
fn document(mount: &Mount) -> Document {
    let mut document = Handlers::openapi();
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    let mut scheme = Http::new(HttpAuthScheme::Bearer);
    scheme.description = Some(
        "The access token returned by `POST /api/v1/auth/login`, or an API key of `POST /api/v1/keys`."
            .to_owned(),
    );
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(BEARER, SecurityScheme::Http(scheme));
    let cookie = "The access token in the cookie that a sign-in with `\"session\": \"cookie\"` sets. Only on \
                  servers configured for session cookies.";
    let cookie = ApiKeyValue::with_description(ACCESS_COOKIE, cookie);
    components.add_security_scheme(COOKIE, SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    schemas::constrain_components(&mut document);
    for endpoint in table() {
        let item = document.paths.paths.get_mut(endpoint.path());
        let Some(place) = item.and_then(|item| operation_mut(item, endpoint.method())) else {
            continue;
        };
        *place = place.take().filter(|_| mount.includes(&endpoint));
        if let Some(operation) = place {
            schemas::constrain_operation(operation, endpoint.method());
            complete(operation, &endpoint);
        }
    }
    if let Some(servers) = document.servers.as_mut().filter(|_| !mount.prefix().as_str().is_empty())
    {
        servers.iter_mut().for_each(|server| server.url = mount.prefix().to_string());
    }
    if !mount.is_whole() {
        parts::keep_mounted(&mut document, mount);
    }
    document
}

/// Returns the place of a method's operation.
fn operation_mut<'a>(item: &'a mut PathItem, method: &Method) -> Option<&'a mut Option<Operation>> {
    match *method {
        Method::GET => Some(&mut item.get),
        Method::POST => Some(&mut item.post),
        Method::PUT => Some(&mut item.put),
        Method::PATCH => Some(&mut item.patch),
        Method::DELETE => Some(&mut item.delete),
        _ => None,
    }
}

/// Completes an operation: its security requirement, and the errors of its guards.
fn complete(operation: &mut Operation, endpoint: &Endpoint) {
    let rule = endpoint.rule();
    let mut failures = vec![
        (500, "`internal`: an unexpected error on the server."),
        (503, "`unavailable`: retry after the time in `Retry-After`."),
    ];
    if endpoint.path().starts_with("/api/v1/") {
        // Every such route rejects unknown members and parameters; the others ignore the query.
        failures.push((400, "`validation`: a field is invalid; `errors` lists up to 20."));
        failures.push((
            400,
            "`bad-request`: more than one `Authorization` header, or more than 32 query parameters.",
        ));
    } else {
        failures.push((400, "`bad-request`: more than one `Authorization` header."));
    }
    if let Some(RefOr::T(body)) = &operation.request_body {
        let is_form = body.content.contains_key("application/x-www-form-urlencoded");
        failures.push((408, "`request-timeout`: the body did not arrive in time."));
        failures.push((413, "`payload-too-large`: the body is larger than 64 KiB."));
        if is_form {
            failures.push((
                415,
                "`unsupported-media-type`: the body is not `application/x-www-form-urlencoded`.",
            ));
        } else {
            failures.push((400, "`malformed-json`: the body is not a JSON object."));
            failures.push((415, "`unsupported-media-type`: the body is not `application/json`."));
        }
    }
    if *rule != Rule::Public(PublicLimit::Unlimited) {
        failures.push((429, "`rate-limited`: retry after the time in `Retry-After`."));
    }
    if rule.is_protected() {
        let scheme = |name| SecurityRequirement::new(name, Vec::<String>::new());
        operation.security = Some(vec![scheme(BEARER), scheme(COOKIE)]);
        if !endpoint.method().is_safe() {
            failures.push((403, "`cross-site-request`: the access token is in the cookie, and the request does not come from an allowed origin."));
        }
        failures.push((
            401,
            "`unauthenticated`, `invalid-token`, `token-expired` or `session-revoked`.",
        ));
    }
    match endpoint.accepts() {
        Accepts::Any => {}
        Accepts::Session => {
            failures.push((
                403,
                "`session-required`: only a session may do this, and you sent an API key.",
            ));
        }
        Accepts::NamingKeys => {
            failures.push((
                403,
                "`session-required`: the scopes of your API key do not name the permission itself.",
            ));
        }
    }
    if let Rule::Permission(permission) | Rule::Lookup(permission) = rule {
        let needs = format!("Requires the permission `{permission}`.");
        let description = operation.description.take().filter(|text| !text.is_empty());
        operation.description =
            Some(description.map_or_else(|| needs.clone(), |text| format!("{text}\n\n{needs}")));
        failures.push((403, "`forbidden`: your role lacks the required permission."));
        if endpoint.changes() && !endpoint.needs_recent() {
            failures.push((
                401,
                "`step-up-required`: this server asks for a recent authentication here.",
            ));
        }
    }
    if endpoint.needs_recent() {
        failures.push((401, "`step-up-required`: authenticate again first."));
    }
    match endpoint.needs() {
        Some(Feature::Keys) => failures.push((404, "`not-found`: this server has no API keys.")),
        Some(Feature::Mail) => failures.push((404, "`not-found`: this server sends no mail.")),
        Some(Feature::ConfirmedSignUp) => {
            failures.push((
                404,
                "`not-found`: sign-up on this server needs no confirmation, or is closed.",
            ));
        }
        Some(Feature::EmailSignIn) => {
            failures.push((404, "`not-found`: this server has no sign-in by e-mail."));
        }
        None => {}
    }
    for (status, description) in failures {
        add_failure(operation, status, description);
    }
    show_failures(operation);
}

/// Adds an error response, or appends its codes to those that the handler documents for the status.
fn add_failure(operation: &mut Operation, status: u16, description: &str) {
    let responses = &mut operation.responses.responses;
    match responses.get_mut(&status.to_string()) {
        Some(RefOr::T(known)) => known.description = format!("{} {description}", known.description),
        _ => {
            let response = ResponseBuilder::new().description(description).build();
            responses.insert(status.to_string(), RefOr::T(response));
        }
    }
}

/// Gives every error the problem document schema, and every response the request id header.
fn show_failures(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        if status.starts_with(['4', '5']) {
            let schema = RefOr::Ref(Ref::from_schema_name("Problem"));
            let content = ContentBuilder::new().schema(Some(schema)).build();
            response.content.insert("application/problem+json".to_owned(), content.into());
        }
        let (challenge, wait) = (
            "The reason for the rejection (RFC 6750, RFC 9470).",
            "Seconds to wait before retrying.",
        );
        match status.as_str() {
            "401" => add_header(response, WWW_AUTHENTICATE.as_str(), challenge),
            "429" | "503" => add_header(response, RETRY_AFTER.as_str(), wait),
            _ => {}
        }
        add_header(response, RequestId::HEADER.as_str(), "The id of the request.");
    }
}

fn add_header(response: &mut Response, name: &str, description: &str) {
    let header = HeaderBuilder::new().description(Some(description)).build();
    response.headers.insert(name.to_owned(), header.into());
}

impl IntoParams for Page {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let number = |name, description, least: u32, most: u32, default: u32| {
            let schema = ObjectBuilder::new()
                .schema_type(Type::Integer)
                .minimum(Some(least))
                .maximum(Some(most))
                .default(Some(default.into()));
            query(name, description, schema.into())
        };
        vec![
            number(
                "page",
                "The page number. `page` times `limit` must not exceed 10,000.",
                1,
                10_000,
                1,
            ),
            number("limit", "The maximum number of entries per page.", 1, 100, 20),
        ]
    }
}

impl IntoParams for ListQuery {
    fn into_params(provider: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let one_of = |names: &[&str]| text().enum_values(Some(names.iter().copied()));
        let list = |items: ObjectBuilder| ArrayBuilder::new().items(items).into();
        let statuses = Status::ALL.map(Status::as_str);
        let mut parameters = Page::into_params(provider);
        parameters.extend([
            query("role", "Returns only users with this role. Repeat the parameter to match any of several.", list(text().pattern(Some(schemas::ROLE)))),
            query("status", "Returns only users with this status. Repeat the parameter to match any of several.", list(one_of(&statuses))),
            query("kind", "Returns only persons, or only service accounts.", one_of(&UserKind::ALL.map(UserKind::as_str)).into()),
            query(
                "search",
                "Returns only users whose e-mail address, or its domain, begins with this text. Case is ignored.",
                text().min_length(Some(1)).max_length(Some(254)).pattern(Some(schemas::PRINTABLE)).into(),
            ),
            query(
                "sort",
                "The sort order; `-` means descending. Ties are sorted by id. Users who never signed in sort as earliest.",
                one_of(&Sort::NAMES).default(Some("-created_at".into())).into(),
            ),
            query(
                "after",
                "Returns the users after the user with this id, in the default order. Cannot be combined with `page` or another `sort`.",
                text().pattern(Some(schemas::ID)).into(),
            ),
        ]);
        parameters
    }
}

/// Returns an optional query parameter.
fn query(name: &str, description: &str, schema: Schema) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}
