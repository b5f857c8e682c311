//! Session cookies of a request, for the handlers that set, read or clear them.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use goat_core::auth::TokenPair;
use goat_core::{ErrorKind, Secret};
use goat_tower::cookie::Cookies;
use goat_tower::{Problem, bearer};
use http::request::Parts;
use http::{HeaderMap, StatusCode};

use crate::api::AppState;

/// The session cookies of a request, if the server uses them.
pub(crate) struct SessionCookies(Option<RequestCookies>);

/// The cookies, and the request that may carry them.
struct RequestCookies {
    cookies: Cookies,
    request: Parts,
}

impl FromRequestParts<AppState> for SessionCookies {
    type Rejection = Infallible;

    async fn from_request_parts(request: &mut Parts, state: &AppState) -> Result<Self, Infallible> {
        let cookies = state.http.renewing_cookies();
        Ok(Self(cookies.map(|cookies| RequestCookies { cookies, request: request.clone() })))
    }
}

impl SessionCookies {
    /// Returns the cookies for a sign-in, after the origin check (B21).
    pub(crate) fn for_sign_in(&self) -> Result<&Cookies, Problem> {
        let RequestCookies { cookies, request } = self.0.as_ref().ok_or(ErrorKind::Internal)?;
        cookies.check(request)?;
        Ok(cookies)
    }

    /// Returns the refresh token of its cookie, after the origin check.
    pub(crate) fn refresh_token(&self) -> Result<Secret<String>, Problem> {
        let RequestCookies { cookies, request } = self.0.as_ref().ok_or(ErrorKind::Internal)?;
        Ok(cookies.refresh_token(request)?)
    }

    /// Returns the cookies if the principal of a protected route was authenticated by one: a bearer token
    /// takes precedence.
    pub(crate) fn of_principal(&self) -> Option<&Cookies> {
        let RequestCookies { cookies, request } = self.0.as_ref()?;
        matches!(bearer(&request.headers), Ok(None)).then_some(cookies)
    }

    /// Adds the cookies of a token pair to a response.
    pub(crate) fn put(&self, tokens: &TokenPair, headers: &mut HeaderMap) -> Result<(), Problem> {
        let request = self.0.as_ref().ok_or(ErrorKind::Internal)?;
        Ok(request.cookies.put(tokens, headers)?)
    }

    /// Clears both cookies of a session that cannot continue: after a refresh that failed with 401.
    pub(crate) fn clear_after(&self, problem: &Problem, headers: &mut HeaderMap) {
        if let Some(request) = &self.0
            && problem.status() == StatusCode::UNAUTHORIZED
        {
            request.cookies.clear(headers);
        }
    }
}
