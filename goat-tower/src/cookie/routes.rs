//! Sign-in, refresh and sign-out over cookies, for scripts and for HTML forms (feature `axum`).
//!
//! Invariants: every request passes the origin check first; no body contains a token; a form leads back
//! to the own host only.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use axum::routing::post;
use goat_core::auth::{Login, TokenPair};
use goat_core::{Error, Goat, Secret, UserId, Violation};
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use serde_json::{Map, Value, json};

use super::{Cookies, ReturnTo, write};
use crate::request::origin::Origin;
use crate::response::decisions::LimitDecisions;
use crate::response::problem::Problem;

/// The largest accepted body, in bytes.
const MAX_BODY: usize = 16 * 1024;

/// Returns a router with `POST /login`, `POST /refresh` and `POST /logout` over cookies. `nest` it where
/// the application's routes begin; put limits by address around it.
///
/// | | script | HTML form |
/// |---|---|---|
/// | body | JSON, `Content-Type: application/json`; refresh and logout need none | `application/x-www-form-urlencoded` |
/// | login: `email`, `password` | 200 `{"user", "expires_in", "refresh_expires_in"}`, both cookies | 303 to `return_to`, both cookies |
/// | refresh | 200 `{"user", "expires_in", "refresh_expires_in"}`, both cookies | 303 to `return_to`, both cookies |
/// | logout | 204, both cookies cleared | 303 to `return_to`, both cookies cleared |
/// | failure | problem document | HTML page with the same status |
///
/// - `user` is the user's id, `expires_in` the number of seconds for which the access token is valid.
/// - Every route checks the origin ([`Cookies::check`]), also the login (login CSRF).
/// - A refresh that fails with 401 clears both cookies. A logout succeeds without a session, and also ends
///   a session whose access token has expired.
/// - `return_to` is a field of a form, a path of the own host ([`ReturnTo`]); by default `/`. Another
///   target is a 400 before anything else happens.
///
/// ```
/// use axum::Router;
/// use axum::body::Body;
/// use goat_core::testing::TestGoat;
/// # use goat_core::{Email, auth::SignUp};
/// use goat_tower::cookie::{self, Cookies};
/// use http::{Request, StatusCode};
/// use tower::ServiceExt;
///
/// const COOKIES: Cookies = Cookies::new().renew();
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let goat = TestGoat::new().goat;
/// # let (email, password) = (Email::parse("ann@example.org")?, "a long walk on a short pier".into());
/// # goat.sign_up(SignUp { email, password: Some(password), origin: Default::default() }).await?;
/// let app: Router = Router::new().nest("/session", cookie::routes(&goat, COOKIES));
///
/// let form = "email=ann%40example.org&password=a+long+walk+on+a+short+pier";
/// let request = Request::post("/session/login")
///     .header("content-type", "application/x-www-form-urlencoded")
///     .header("sec-fetch-site", "same-origin")
///     .body(Body::from(form))?;
/// let response = app.oneshot(request).await?;
/// assert_eq!(response.status(), StatusCode::SEE_OTHER);
/// assert_eq!(response.headers()["location"], "/");
/// assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
/// # Ok(())
/// # }
/// ```
pub fn routes(goat: &Goat, cookies: Cookies) -> Router {
    let sessions = Sessions { goat: goat.clone(), cookies };
    let route = |action| {
        let sessions = sessions.clone();
        post(move |request: Request| respond(sessions, action, request))
    };
    Router::new()
        .route("/login", route(Action::SignIn))
        .route("/refresh", route(Action::Refresh))
        .route("/logout", route(Action::SignOut))
}

#[derive(Clone, Copy)]
enum Action {
    SignIn,
    Refresh,
    SignOut,
}

async fn respond(sessions: Sessions, action: Action, request: Request) -> Response {
    let (request, body) = request.into_parts();
    let is_form = has_type(&request, "application/x-www-form-urlencoded");
    let outcome = sessions.perform(action, &request, is_form, body).await;
    match outcome {
        Ok((success, return_to)) if is_form => success.into_redirect(&return_to),
        Ok((success, _)) => success.into_json(),
        Err(failure) => failure.into_response(&request, is_form),
    }
}

#[derive(Clone)]
struct Sessions {
    goat: Goat,
    cookies: Cookies,
}

/// A success: the members of the JSON body, and both cookies, set or cleared.
struct Success {
    members: Option<Value>,
    cookies: [HeaderValue; 2],
    decisions: LimitDecisions,
}

/// A failure: the problem, and the cleared cookies if it ends the session.
struct Failure {
    problem: Problem,
    cookies: Option<[HeaderValue; 2]>,
}

impl<P: Into<Problem>> From<P> for Failure {
    fn from(problem: P) -> Self {
        Self { problem: problem.into(), cookies: None }
    }
}

impl Sessions {
    /// Returns the success, and the target of a form.
    async fn perform(
        &self,
        action: Action,
        request: &Parts,
        is_form: bool,
        body: Body,
    ) -> Result<(Success, String), Failure> {
        self.cookies.check(request)?;
        let mut fields = Fields::read(request, is_form, body, action).await?;
        let return_to = fields.take("return_to").unwrap_or_else(|| "/".into());
        if !ReturnTo::new().accepts(return_to.expose()) {
            return Err(invalid("return_to", "must be a path of this host").into());
        }
        let success = match action {
            Action::SignIn => self.sign_in(request, fields).await?,
            Action::Refresh => {
                self.refresh(request).await.map_err(|problem| self.ended(problem))?
            }
            Action::SignOut => self.sign_out(request).await?,
        };
        Ok((success, return_to.expose().clone()))
    }

    async fn sign_in(&self, request: &Parts, mut fields: Fields) -> Result<Success, Problem> {
        let required = |field| move || invalid(field, "is required");
        let email = fields.take("email").ok_or_else(required("email"))?;
        let password = fields.take("password").ok_or_else(required("password"))?;
        let origin = Origin::of(request).into();
        let signed_in =
            self.goat.login(Login { email, password, device_token: None, origin }).await?;
        let (user, tokens) = (signed_in.value.user.id, &signed_in.value.tokens);
        Ok(Success { decisions: signed_in.decisions.into(), ..self.success(user, tokens)? })
    }

    async fn refresh(&self, request: &Parts) -> Result<Success, Problem> {
        let token = self.cookies.refresh_token(request)?;
        let refreshed = self.goat.refresh(&token, &Origin::of(request)).await?;
        Ok(self.success(refreshed.user, &refreshed.tokens)?)
    }

    async fn sign_out(&self, request: &Parts) -> Result<Success, Problem> {
        self.cookies.end_session(&self.goat, request).await?;
        let decisions = LimitDecisions::default();
        Ok(Success { members: None, cookies: self.cookies.expired(), decisions })
    }

    fn success(&self, user: UserId, tokens: &TokenPair) -> Result<Success, Error> {
        let now = tokens.access_token_expires_at - tokens.expires_in;
        let members = json!({
            "user": user.to_string(),
            "expires_in": tokens.expires_in.as_secs(),
            "refresh_expires_in": tokens.refresh_token_expires_at.since(now).as_secs(),
        });
        let cookies = self.cookies.of(tokens)?;
        Ok(Success { members: Some(members), cookies, decisions: LimitDecisions::default() })
    }

    /// Clears the cookies of a session that cannot continue.
    fn ended(&self, problem: Problem) -> Failure {
        let is_ended = problem.status() == StatusCode::UNAUTHORIZED;
        Failure { problem, cookies: is_ended.then(|| self.cookies.expired()) }
    }
}

impl Success {
    fn into_json(self) -> Response {
        let response = match self.members {
            None => response(StatusCode::NO_CONTENT, None, Body::empty()),
            Some(members) => {
                response(StatusCode::OK, Some("application/json"), members.to_string().into())
            }
        };
        Self::finish(response, self.cookies, self.decisions)
    }

    fn into_redirect(self, target: &str) -> Response {
        let mut response = response(StatusCode::SEE_OTHER, None, Body::empty());
        if let Ok(target) = HeaderValue::from_str(target) {
            response.headers_mut().insert(LOCATION, target);
        }
        Self::finish(response, self.cookies, self.decisions)
    }

    fn finish(
        mut response: Response,
        cookies: [HeaderValue; 2],
        decisions: LimitDecisions,
    ) -> Response {
        write::append(cookies, response.headers_mut());
        response.extensions_mut().insert(decisions);
        response
    }
}

/// Only text: nothing of the page is loaded, and no page frames it.
const PAGE_SECURITY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

impl Failure {
    fn into_response(self, request: &Parts, is_form: bool) -> Response {
        let problem = self.problem.for_request(request);
        let page = is_form.then(|| page(problem.title(), problem.detail()));
        let mut response = problem.into_response().map(Body::from);
        if let Some(page) = page {
            *response.body_mut() = page.into();
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
            headers.insert(CONTENT_SECURITY_POLICY, PAGE_SECURITY);
            headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        }
        write::append(self.cookies.into_iter().flatten(), response.headers_mut());
        response
    }
}

fn page(title: &str, detail: &str) -> String {
    let [title, detail] = [title, detail]
        .map(|text| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width\">\n<title>{title}</title>\n<h1>{title}</h1>\n<p>{detail}</p>\n"
    )
}

fn response(status: StatusCode, content_type: Option<&'static str>, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    if let Some(content_type) = content_type {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    response
}

/// The fields of a form, or the members of a JSON object.
struct Fields(Vec<(String, Secret<String>)>);

impl Fields {
    async fn read(
        request: &Parts,
        is_form: bool,
        body: Body,
        action: Action,
    ) -> Result<Self, Problem> {
        let is_json = has_type(request, "application/json");
        match action {
            // Nothing of the body is needed.
            Action::Refresh | Action::SignOut if !is_form => return Ok(Self(Vec::new())),
            _ if !is_form && !is_json => return Err(unsupported_type()),
            _ => {}
        }
        let body = to_bytes(body, MAX_BODY).await.map_err(|_| too_large())?;
        let fields: Vec<_> = if is_json {
            let members = serde_json::from_slice::<Map<String, Value>>(&body);
            let members = members.map_err(|_| malformed())?.into_iter();
            members
                .filter_map(|(name, value)| match value {
                    Value::String(value) => Some((name, value.into())),
                    _ => None,
                })
                .collect()
        } else {
            let pairs = form_urlencoded::parse(&body);
            pairs.map(|(name, value)| (name.into_owned(), value.into_owned().into())).collect()
        };
        Ok(Self(fields))
    }

    /// Takes the value of a field; the last one, if it occurs twice.
    fn take(&mut self, name: &str) -> Option<Secret<String>> {
        let place = self.0.iter().rposition(|(other, _)| other == name)?;
        Some(self.0.swap_remove(place).1)
    }
}

fn has_type(request: &Parts, wanted: &str) -> bool {
    let value = request.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(wanted)
}

fn invalid(field: &'static str, message: &'static str) -> Problem {
    Error::invalid(vec![Violation::new(field, message)]).into()
}

fn malformed() -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "malformed-json",
        "Malformed JSON",
        "The body is not a JSON object. Send the fields as members of one object.",
    )
}

fn too_large() -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "payload-too-large",
        "Payload too large",
        "The body is larger than 16 KiB, or did not arrive. Send only the fields.",
    )
}

fn unsupported_type() -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported-media-type",
        "Unsupported media type",
        "Send the fields as application/json or as application/x-www-form-urlencoded.",
    )
}
