//! Sign-out by cookie: ends the session of either cookie.

use goat_core::{Goat, Principal};
use http::StatusCode;
use http::request::Parts;

use super::Cookies;
use crate::request::origin::Origin;
use crate::response::problem::Problem;

impl Cookies {
    /// Ends the session of the request's cookies, for a logout handler outside the authenticate layer. The
    /// refresh cookie is sufficient, so a session whose access token has expired ends too. Cookies of no
    /// live session are a success; [`clear`](Self::clear) them in the response.
    ///
    /// ```
    /// use goat_core::testing::TestGoat;
    /// use goat_tower::cookie::Cookies;
    /// use http::Request;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let test = TestGoat::new();
    /// let alice = test.sign_in("alice", []).await;
    /// let cookie = format!("__Host-goat-refresh={}", alice.tokens.refresh_token.expose());
    /// let request = Request::post("/logout").header("sec-fetch-site", "same-origin");
    /// let (request, ()) = request.header("cookie", cookie).body(())?.into_parts();
    ///
    /// Cookies::new().end_session(&test.goat, &request).await.expect("signed out");
    /// assert!(test.goat.authenticate_token(alice.access_token()).await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// 403 for a request of another origin, 400 for repeated cookies, 503 if a store is unavailable.
    pub async fn end_session(&self, goat: &Goat, request: &Parts) -> Result<(), Problem> {
        self.check(request)?;
        let origin = Origin::of(request);
        if let Some(principal) = self.principal(goat, request, &origin).await? {
            valid(goat.logout(&principal, &origin).await.map_err(Problem::from))?;
        }
        Ok(())
    }

    /// Returns the principal of either cookie; `None` if there is no live session.
    async fn principal(
        &self,
        goat: &Goat,
        request: &Parts,
        origin: &Origin,
    ) -> Result<Option<Principal>, Problem> {
        let access = self.access_token(request).map_err(Problem::from);
        if let Some(token) = valid(access)?.flatten() {
            let authenticated = goat.authenticate_access_token(token).await;
            let principal = valid(authenticated.map_err(Problem::from))?;
            if principal.is_some() {
                return Ok(principal);
            }
        }
        let refresh = self.refresh_token(request).map_err(Problem::from);
        let Some(token) = valid(refresh)? else { return Ok(None) };
        let renewed = goat.renew(&token, origin).await.map_err(Problem::from);
        Ok(valid(renewed)?.map(|renewed| renewed.principal))
    }
}

/// Returns a value, or `None` for credentials that are not valid.
fn valid<T>(outcome: Result<T, Problem>) -> Result<Option<T>, Problem> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(problem) if problem.status() == StatusCode::UNAUTHORIZED => Ok(None),
        Err(problem) => Err(problem),
    }
}
