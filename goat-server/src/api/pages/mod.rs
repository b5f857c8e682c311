//! The sign-in page: forms that work without JavaScript, for browsers whose session is in cookies.
//!
//! - `GET /login` renews the session of a navigation, and leads back at once if there is one.
//! - `POST /login` and `POST /logout` check the origin first (B21).
//! - `return_to` is a path of this host or a URL of an application (B22); any other is ignored.
//! - Every failure is the page itself, with the status of the failure and a sentence.

mod render;
mod texts;

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use goat_core::auth::Login;
use goat_core::{Error, ErrorKind, Goat, Secret, Violation};
use goat_tower::cookie::{Cookies, ReturnTo};
use goat_tower::{Denial, GoatExt as _, LimitDecisions, LimitLayer, Origin, Principal, Problem};
use http::header::{CONTENT_TYPE, LOCATION};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tower::Layer as _;

use render::{Look, View};

use super::stack::problems;
use super::stack::routes::{Path, Route};
use super::{AppState, Group};

/// The path of the page, without a prefix.
const LOGIN: &str = "/login";

/// The largest form, in bytes.
const MAX_BODY: usize = 16 * 1024;

/// Returns the path of the page, if it is mounted.
pub(super) fn login_path(state: &AppState) -> Option<String> {
    let is_mounted = state.http.login_page.is_some() && state.mount.has(Group::Accounts);
    is_mounted.then(|| format!("{}{LOGIN}", state.mount.prefix()))
}

/// Returns the paths of the page, if the settings enable it.
pub(super) fn paths(state: &AppState) -> Vec<Path> {
    let http = &state.http;
    let (Some(settings), Some(cookies)) = (http.login_page.clone(), http.renewing_cookies()) else {
        return Vec::new();
    };
    let page = Arc::new(Page {
        goat: state.goat.clone(),
        cookies,
        login: format!("{}{LOGIN}", state.mount.prefix()),
        look: Look::new(settings, &http.forward.origins),
        pages: http.forward.return_to(),
    });
    let limit = |quota, name: &'static str, counter| {
        let renderer = Arc::clone(&page);
        let limit: Option<LimitLayer> = quota;
        limit.map(|limit| {
            limit.by_address().named(name).counted_as(counter).render_with(
                move |denial: &Denial, request: &Parts| {
                    renderer.failure(denial.problem(), &request.headers, None)
                },
            )
        })
    };
    let quota = |quota: Option<_>| quota.map(|quota| state.goat.limit(quota));
    let public = limit(quota(state.limits.public), "public", "public");
    let auth = limit(quota(state.limits.auth), "auth", "login");
    let limited = |limit: &Option<LimitLayer>, route: Route| match limit {
        Some(limit) => Route::guarded(limit.layer(route)),
        None => route,
    };
    let route = |method, limit: &Option<LimitLayer>, route| (method, limited(limit, route));
    let path = |template, allow: &'static str, methods| {
        let other = Route::new(move |_| {
            let response = problems::method_not_allowed(HeaderValue::from_static(allow));
            Box::pin(std::future::ready(response))
        });
        Path::new(template, methods, limited(&public, other))
    };
    let (form, sign_in, sign_out) = (Page::form(&page), Arc::clone(&page), Arc::clone(&page));
    let sign_in = Route::new(move |request| Box::pin(Arc::clone(&sign_in).sign_in(request)));
    let sign_out = Route::new(move |request| Box::pin(Arc::clone(&sign_out).sign_out(request)));
    let style = Arc::clone(&page);
    let style = Route::new(move |_| Box::pin(std::future::ready(style.look.style())));
    let mut paths = vec![
        path(
            LOGIN,
            "GET, HEAD, POST",
            vec![route(Method::GET, &public, form), route(Method::POST, &auth, sign_in)],
        ),
        path("/logout", "POST", vec![route(Method::POST, &public, sign_out)]),
        path("/login/page.css", "GET, HEAD", vec![route(Method::GET, &public, style)]),
    ];
    if page.look.logo().is_some() {
        let logo = Arc::clone(&page);
        let logo = Route::new(move |_| {
            let response = logo.look.logo().unwrap_or_default();
            Box::pin(std::future::ready(response))
        });
        paths.push(path("/login/logo", "GET, HEAD", vec![route(Method::GET, &public, logo)]));
    }
    paths
}

struct Page {
    goat: Goat,
    cookies: Cookies,
    /// The path of the page.
    login: String,
    look: Look,
    pages: ReturnTo,
}

impl Page {
    /// Returns the route of the form. Its session is renewed; a session that cannot continue is the form
    /// again, with both cookies cleared.
    fn form(page: &Arc<Self>) -> Route {
        let (shown, renderer) = (Arc::clone(page), Arc::clone(page));
        let form = Route::new(move |request| {
            let response = shown.show(&request);
            Box::pin(std::future::ready(response))
        });
        let failed = move |denial: &Denial, request: &Parts| {
            let return_to = renderer.return_to(request.uri.query().unwrap_or_default().as_bytes());
            renderer.failure(denial.problem(), &request.headers, return_to.as_deref())
        };
        let authenticate = page.goat.authenticate().optional().cookies(page.cookies.clone());
        Route::guarded(authenticate.render_with(failed).layer(form))
    }

    fn show(&self, request: &Request) -> Response {
        let return_to = self.return_to(request.uri().query().unwrap_or_default().as_bytes());
        let me = Principal::of(request.extensions());
        let view = match (&me, &return_to) {
            (Some(_), Some(target)) => return see_other(target),
            (Some(me), None) => View::SignedIn(me.profile().email.as_str()),
            (None, _) => View::SignIn(None),
        };
        let response = Response::new(());
        self.look.show(response, request.headers(), &view, return_to.as_deref()).map(Body::from)
    }

    async fn sign_in(self: Arc<Self>, request: Request) -> Response {
        let (request, body) = request.into_parts();
        let mut form = Form::default();
        let outcome = match self.cookies.check(&request) {
            Err(error) => Err(error.into()),
            Ok(()) => match Form::read(&request, body).await {
                Err(problem) => Err(problem),
                Ok(read) => {
                    form = read;
                    self.log_in(&request, &mut form).await
                }
            },
        };
        let return_to = form.return_to.filter(|target| self.pages.accepts(target));
        match outcome {
            Ok((set, decisions)) => {
                let mut response = see_other(return_to.as_deref().unwrap_or(&self.login));
                for (name, value) in &set {
                    response.headers_mut().append(name, value.clone());
                }
                response.extensions_mut().insert(decisions);
                response
            }
            Err(problem) => {
                self.failure(&problem, &request.headers, return_to.as_deref()).map(Body::from)
            }
        }
    }

    /// Returns the headers that set the cookies.
    async fn log_in(
        &self,
        request: &Parts,
        form: &mut Form,
    ) -> Result<(HeaderMap, LimitDecisions), Problem> {
        let required = |field| Error::invalid(vec![Violation::new(field, "is required")]);
        let email = form.email.take().ok_or_else(|| required("email"))?;
        let password = form.password.take().ok_or_else(|| required("password"))?;
        let origin = Origin::of(request).into();
        let login = Login { email, password, device_token: None, origin };
        let signed_in = self.goat.login(login).await?;
        let mut headers = HeaderMap::new();
        self.cookies.put(&signed_in.value.tokens, &mut headers)?;
        Ok((headers, signed_in.decisions.into()))
    }

    async fn sign_out(self: Arc<Self>, request: Request) -> Response {
        let (request, _) = request.into_parts();
        match self.cookies.end_session(&self.goat, &request).await {
            Ok(()) => {
                let mut response = see_other(&self.login);
                self.cookies.clear(response.headers_mut());
                response
            }
            Err(problem) => self.failure(&problem, &request.headers, None).map(Body::from),
        }
    }

    /// Returns the form with the sentence of a problem, and with its status and headers.
    fn failure(
        &self,
        problem: &Problem,
        headers: &HeaderMap,
        return_to: Option<&str>,
    ) -> http::Response<Bytes> {
        let response = problem.clone().into_response();
        let mut response =
            self.look.show(response, headers, &View::SignIn(Some(problem)), return_to);
        // The page is the whole response: no problem document is made of it.
        response.extensions_mut().remove::<Problem>();
        response
    }

    /// Returns the target in a query or a form, if it is allowed.
    fn return_to(&self, query: &[u8]) -> Option<String> {
        let mut pairs = form_urlencoded::parse(query);
        let (_, target) = pairs.find(|(name, _)| name == "return_to")?;
        self.pages.accepts(&target).then(|| target.into_owned())
    }
}

/// The fields of the form.
#[derive(Default)]
struct Form {
    email: Option<Secret<String>>,
    password: Option<Secret<String>>,
    return_to: Option<String>,
}

impl Form {
    async fn read(request: &Parts, body: Body) -> Result<Self, Problem> {
        let content_type = request.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = content_type.and_then(|value| value.split(';').next()).unwrap_or_default();
        if !essence.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(ErrorKind::Invalid.into());
        }
        let body = to_bytes(body, MAX_BODY).await.map_err(|_| Problem::from(ErrorKind::Invalid))?;
        let mut form = Self::default();
        for (name, value) in form_urlencoded::parse(&body) {
            match &*name {
                "email" => form.email = Some(value.into_owned().into()),
                "password" => form.password = Some(value.into_owned().into()),
                "return_to" => form.return_to = Some(value.into_owned()),
                _ => {}
            }
        }
        Ok(form)
    }
}

fn see_other(target: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    if let Ok(target) = HeaderValue::from_str(target) {
        response.headers_mut().insert(LOCATION, target);
    }
    response
}
