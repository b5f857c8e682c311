//! `GET /api/v1/auth/verify`: verification of access tokens and API keys for other services and reverse
//! proxies (forward auth).

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use goat_core::auth::Assurance;
use goat_core::{Credential, Error, ErrorKind, Goat, Permission, RequiredProof, Timestamp};
use goat_tower::{Principal, Problem};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::Value;
use utoipa::IntoParams;

use crate::api::extract::{FromQuery, Parameters, Query, Refused};
use crate::api::view::RESPONSE_HEADERS;
use crate::start::settings::{HttpSettings, VerifyHeader};

/// The permissions to check.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct VerifyQuery {
    /// A permission that the user must have. Repeat the parameter to require several.
    #[param(value_type = Vec<String>, required = false, example = json!(["report:read"]))]
    permission: Vec<Permission>,
    /// The greatest age of the user's last authentication, in seconds.
    #[param(value_type = u32, required = false, minimum = 0, maximum = 31_536_000, example = 300)]
    max_age: Option<u32>,
    /// `multi` if the session must have been authenticated by several factors.
    #[param(value_type = String, required = false, example = "multi")]
    assurance: Option<Assurance>,
    /// `true` sends a navigation without a valid access token to the sign-in page in place of the 401, if
    /// the server is configured with one. For proxies that pass a redirect on to the client.
    #[param(value_type = bool, required = false)]
    #[expect(dead_code, reason = "read by the route itself, before authentication")]
    redirect: Option<bool>,
}

impl FromQuery for VerifyQuery {
    fn from_query(parameters: &mut Parameters) -> Result<Self, Refused> {
        let permission = parameters.repeated_parse("permission", Permission::parse);
        let max_age = parameters.number("max_age", 0..=LONGEST_AGE);
        let assurance = parameters.one_of("assurance", &[("multi", Assurance::Multi)]);
        let redirect = parameters.one_of("redirect", &[("true", true), ("false", false)]);
        let (permission, max_age) = (permission?, max_age?);
        Ok(Self { permission, max_age, assurance: assurance?, redirect: redirect? })
    }
}

/// Maximum of `max_age`: one year, longer than most sessions.
const LONGEST_AGE: u32 = 31_536_000;

/// Verify an access token or an API key
///
/// For other services and for reverse proxies (`auth_request`, `forwardAuth`). Checks the access token or
/// API key and the requested permissions, and returns the user's id and role, and the id of the session or
/// the key, in response headers. A header that does not apply is empty. With `max_age` and `assurance`, the
/// session must have been authenticated recently, or by several factors; then API keys are rejected.
///
/// With session cookies, the access token may be in its cookie. Then the origin check applies to the
/// forwarded request: a trusted proxy sends its method in `X-Forwarded-Method` or `X-Original-Method`, and
/// without one the request counts as unsafe.
#[utoipa::path(
    get,
    path = "/api/v1/auth/verify",
    operation_id = "verify",
    tag = "Authentication",
    params(VerifyQuery),
    responses(
        (status = 204, description = "The token or key is valid, and has every requested permission.",
            headers(
                ("X-Goat-User" = String, description = "The user's id."),
                ("X-Goat-Role" = String, description = "The user's role."),
                ("X-Goat-Session" = String, description = "The session's id; empty for an API key."),
                ("X-Goat-Key" = String, description = "The API key's id; empty for a session."),
                ("X-Goat-Assurance" = String, description = "`single`, or `multi` if the session was authenticated by several factors; empty for an API key."),
                ("X-Goat-Email" = String, description = "The user's e-mail address, if the server is configured to send it."),
                ("X-Goat-Attribute-KEY" = String, description = "An attribute of the user, if the server is configured to send it: empty without a value, and with more than 1 KiB. The texts of a list are separated by commas. Within a text, `%`, commas, white space and bytes that are not ASCII are escaped as `%XX`."),
            )),
        (status = 303, description = "`redirect` is `true`, the forwarded request is a navigation, and it has no valid access token: the sign-in page.",
            headers(("Location" = String, description = "The sign-in page, with the forwarded URL in `return_to`."))),
        (status = 401, description = "`step-up-required`: the session was not authenticated recently enough, or not by several factors. `WWW-Authenticate` says which."),
        (status = 403, description = "`forbidden`: the user or the API key lacks a requested permission. `WWW-Authenticate` names it. `session-required`: an API key, and `max_age` or `assurance`."),
    ),
)]
pub(crate) async fn verify(
    State(http): State<Arc<HttpSettings>>,
    State(goat): State<Goat>,
    me: Principal,
    Query(VerifyQuery { permission, max_age, assurance, .. }): Query<VerifyQuery>,
) -> Result<Response, Problem> {
    let missing = permission.iter().filter(|permission| !me.may(permission));
    let missing: Vec<_> = missing.map(Permission::as_str).collect();
    if !missing.is_empty() {
        let sentence = format!(
            "Your role, or your API key, does not have the required permissions. Missing: {}.",
            missing.join(", ")
        );
        let error = Error::from(ErrorKind::Forbidden).with_client_message(sentence);
        return Err(Problem::from(error).with_scope(missing.join(" ")));
    }
    check_proofs(&me, max_age, assurance, goat.time().now())?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().reserve(RESPONSE_HEADERS);
    // Each header is there also without a value: a proxy that copies only the headers that it receives
    // would pass on that of the client.
    let (session, key) = match me.credential() {
        Credential::Session(session) => (session.to_string(), String::new()),
        Credential::Key(key) => (String::new(), key.to_string()),
    };
    let who = [
        (HeaderName::from_static("x-goat-user"), me.user().to_string()),
        // A key with scopes has less than its owner's role, which a backend would take as a whole.
        (
            HeaderName::from_static("x-goat-role"),
            me.whole_role().map(ToString::to_string).unwrap_or_default(),
        ),
        (HeaderName::from_static("x-goat-session"), session),
        (HeaderName::from_static("x-goat-key"), key),
    ];
    for (name, value) in who {
        // Ids and role names consist of ASCII letters, digits, `_` and `-`.
        let value = HeaderValue::try_from(value).map_err(|_| ErrorKind::Internal)?;
        response.headers_mut().insert(name, value);
    }
    let assurance = HeaderValue::from_static(me.assurance().map_or("", Assurance::as_str));
    response.headers_mut().insert(HeaderName::from_static("x-goat-assurance"), assurance);
    for header in &http.forward.headers {
        let (name, value) = match header {
            VerifyHeader::Email => (HeaderName::from_static("x-goat-email"), email(&me)?),
            VerifyHeader::Attribute { key, name } => (name.clone(), attribute(&me, key)?),
        };
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

/// The longest value of a header, so that a proxy does not refuse the response.
const LONGEST_VALUE: usize = 1024;

/// Returns the value of an attribute. A user without it, and one whose value is too long, have an empty
/// header: a proxy that copies only the headers that it receives would pass on that of the client.
fn attribute(me: &Principal, key: &str) -> Result<HeaderValue, ErrorKind> {
    let text = match me.profile().attributes.get(key) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => Escaped(&text).to_string(),
        Some(Value::Array(list)) => {
            let texts = list.iter().filter_map(Value::as_str);
            texts.map(|text| Escaped(text).to_string()).collect::<Vec<_>>().join(",")
        }
        Some(value) => value.to_string(),
    };
    let fitting = if text.len() <= LONGEST_VALUE { text } else { String::new() };
    HeaderValue::try_from(fitting).map_err(|_| ErrorKind::Internal)
}

/// A text in visible ASCII without `,`: any other byte, and `%`, as `%XX`.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.bytes().try_for_each(|byte| match byte {
            b'%' | b',' => write!(formatter, "%{byte:02X}"),
            byte if byte.is_ascii_graphic() => formatter.write_char(char::from(byte)),
            byte => write!(formatter, "%{byte:02X}"),
        })
    }
}

/// Rejects a session that was not authenticated as the query asks.
fn check_proofs(
    me: &Principal,
    max_age: Option<u32>,
    assurance: Option<Assurance>,
    now: Timestamp,
) -> Result<(), Error> {
    let max_age = max_age.map(|seconds| Duration::from_secs(seconds.into()));
    if me.session().is_none() && (max_age.is_some() || assurance.is_some()) {
        return Err(ErrorKind::SessionRequired.into());
    }
    let is_multi = me.assurance() == Some(Assurance::Multi);
    let is_recent = max_age.is_none_or(|within| me.is_recent(within, now));
    let is_assured = assurance.is_none_or(|least| me.assurance() >= Some(least));
    if is_recent && is_assured {
        return Ok(());
    }
    let multi = assurance == Some(Assurance::Multi) || is_multi;
    Err(Error::step_up_required(RequiredProof { max_age, multi }))
}

/// Returns the user's address as given, or in its canonical form if the domain is not ASCII.
fn email(me: &Principal) -> Result<HeaderValue, ErrorKind> {
    let email = &me.profile().email;
    let value = HeaderValue::from_str(email.as_str());
    value.or_else(|_| HeaderValue::from_str(email.canonical())).map_err(|_| ErrorKind::Internal)
}
