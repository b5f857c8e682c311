//! Denial: the reason of a rejection, and its rendering.
//!
//! Invariant: the denial is in the response's extensions for outer layers and the log, with any renderer.

use std::borrow::Cow;

use bytes::Bytes;
use goat_core::Error;
use http::Response;
use http::request::Parts;

use crate::request::bearer::BearerError;
use crate::response::body::ResponseBody;
use crate::response::grpc;
use crate::response::layer_order::log_layer_order;
use crate::response::problem::Problem;

/// The reason why a layer rejected a request, in the extensions of the response. Cheap to clone.
///
/// ```
/// use goat_core::{Error, ErrorKind};
/// use goat_tower::Denial;
///
/// let denial = Denial::new(Error::from(ErrorKind::Forbidden)).with_scope("report:read");
/// assert_eq!(denial.code(), "forbidden");
/// ```
///
/// It lets an outer layer, such as one for logs or metrics, tell goat's rejections from responses of the
/// application:
///
/// ```
/// use goat_core::Permission;
/// use goat_core::testing::TestGoat;
/// use goat_tower::{Denial, GoatExt};
/// use http::{Request, Response, StatusCode};
/// use http_body_util::Empty;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// const REPORTS: Permission = Permission::new("report:read");
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let test = TestGoat::new();
/// let service = test.goat.require(REPORTS).layer(service_fn(async |_: Request<()>| {
///     let mut response = Response::new(Empty::<&[u8]>::new());
///     *response.status_mut() = StatusCode::FORBIDDEN; // by the application
///     Ok::<_, std::convert::Infallible>(response)
/// }));
/// let reason = |response: &Response<_>| {
///     let denial = response.extensions().get::<Denial>();
///     denial.map(|denial| (denial.code(), denial.problem().status()))
/// };
///
/// let alice = test.sign_in("alice", [REPORTS]).await;
/// let allowed = Request::builder().header("authorization", alice.bearer()).body(())?;
/// assert_eq!(reason(&service.clone().oneshot(allowed).await?), None);
///
/// let bob = test.sign_in("bob", []).await;
/// let rejected = Request::builder().header("authorization", bob.bearer()).body(())?;
/// let rejected = service.oneshot(rejected).await?;
/// assert_eq!(reason(&rejected), Some(("forbidden", StatusCode::FORBIDDEN)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Denial {
    problem: Problem,
}

impl Denial {
    /// Creates a denial from an error of goat.
    #[must_use]
    pub fn new(error: Error) -> Self {
        Self::because(Problem::from(error))
    }

    /// Creates a denial from any other problem.
    #[must_use]
    pub const fn because(problem: Problem) -> Self {
        Self { problem }
    }

    /// Sets the missing permissions, separated by spaces, for the challenge.
    #[must_use]
    pub fn with_scope(mut self, scope: impl Into<Cow<'static, str>>) -> Self {
        self.problem = self.problem.with_scope(scope);
        self
    }

    /// Adds the path and id of the request; see [`Problem::for_request`].
    #[cfg(feature = "axum")]
    pub(crate) fn for_request(mut self, request: &Parts) -> Self {
        self.problem = self.problem.for_request(request);
        self
    }

    /// Returns the stable name of the reason, for logs and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.problem.code()
    }

    /// Returns the problem document for the client, without the path and id of the request.
    #[must_use]
    pub const fn problem(&self) -> &Problem {
        &self.problem
    }

    /// Returns the error of goat, with its source chain for the log.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        self.problem.error()
    }

    /// Returns the response that the renderer makes, with this denial in its extensions.
    #[must_use]
    pub fn respond<B>(
        self,
        renderer: &dyn RenderDenial,
        request: &Parts,
    ) -> Response<ResponseBody<B>> {
        self.render(renderer, request).map(ResponseBody::denied)
    }

    pub(crate) fn render(self, renderer: &dyn RenderDenial, request: &Parts) -> Response<Bytes> {
        if let Some(error) = self.error() {
            log_layer_order(error, request);
        }
        let mut response = renderer.render(&self, request);
        response.extensions_mut().insert(self);
        response
    }
}

impl From<BearerError> for Denial {
    fn from(error: BearerError) -> Self {
        Self::because(error.into())
    }
}

/// Renders denials as responses. [`ProblemDetails`] is the default.
///
/// An implementation makes the complete response: status, headers (RFC 9110 requires
/// `WWW-Authenticate` on a 401; a 429 should have `Retry-After`) and body. [`Denial::problem`] provides all
/// of them. The layers add the rate-limit headers.
///
/// Each layer has its own renderer: give the same one to all of them. Rejections of extractors, and a
/// handler's own [`Problem`], are always problem documents.
///
/// A function implements it, and so does a closure with explicit argument types:
///
/// ```
/// use bytes::Bytes;
/// use goat_tower::{Denial, RenderDenial};
/// use http::{Response, request::Parts};
///
/// fn plain(denial: &Denial, request: &Parts) -> Response<Bytes> {
///     let problem = denial.problem().clone().for_request(request);
///     let text = Bytes::from(problem.detail().to_owned());
///     problem.into_response().map(|_| text)
/// }
///
/// # use goat_core::testing::TestGoat;
/// # use goat_tower::GoatExt;
/// # use http::Request;
/// # use http_body_util::{BodyExt, Empty};
/// # use tower::{Layer, ServiceExt, service_fn};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let test = TestGoat::new();
/// let layer = test.goat.authenticate().render_with(plain);
/// # let alice = test.sign_in("alice", []).await;
/// # let service = layer.layer(service_fn(async |_: Request<()>| {
/// #     Ok::<_, std::convert::Infallible>(Response::new(Empty::<&[u8]>::new()))
/// # }));
/// // Allowed responses are not rendered.
/// let allowed = Request::builder().header("authorization", alice.bearer()).body(())?;
/// let allowed = service.clone().oneshot(allowed).await?;
/// assert_eq!(allowed.into_body().collect().await?.to_bytes(), "");
///
/// // Rejections are.
/// let rejected = service.oneshot(Request::new(())).await?;
/// assert_eq!(rejected.status(), 401);
/// let text = rejected.into_body().collect().await?.to_bytes();
/// assert!(!text.starts_with(b"{"));
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not render denials",
    label = "not a `RenderDenial`",
    note = "use `ProblemDetails`, or a `fn(&Denial, &http::request::Parts) -> http::Response<bytes::Bytes>`"
)]
pub trait RenderDenial: Send + Sync + 'static {
    /// Makes the response. The request's body is not available, since a rejection must not wait for it.
    fn render(&self, denial: &Denial, request: &Parts) -> Response<Bytes>;
}

impl<F> RenderDenial for F
where
    F: Fn(&Denial, &Parts) -> Response<Bytes> + Send + Sync + 'static,
{
    fn render(&self, denial: &Denial, request: &Parts) -> Response<Bytes> {
        self(denial, request)
    }
}

/// Renders denials as problem documents (RFC 9457), and for gRPC clients as trailers-only responses with
/// `grpc-status` 16 (unauthenticated), 7 (permission denied), 8 (rate limited) or 14 (unavailable).
///
/// A `POST` over HTTP/2 with `te: trailers` and a gRPC content type counts as gRPC and gets the HTTP status
/// 200; any other request gets the status of the problem.
///
/// ```
/// use goat_core::testing::TestGoat;
/// use goat_tower::GoatExt;
/// use http::{Request, Response, Version};
/// use http_body_util::Empty;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let test = TestGoat::new();
/// let service = test.goat.authenticate().layer(service_fn(async |_: Request<()>| {
///     Ok::<_, std::convert::Infallible>(Response::new(Empty::<&[u8]>::new()))
/// }));
/// let call = || {
///     let request = Request::post("/reports.Reports/List").version(Version::HTTP_2);
///     request.header("te", "trailers").header("content-type", "application/grpc")
/// };
///
/// let alice = test.sign_in("alice", []).await;
/// let allowed = call().header("authorization", alice.bearer()).body(())?;
/// assert!(!service.clone().oneshot(allowed).await?.headers().contains_key("grpc-status"));
///
/// let rejected = service.clone().oneshot(call().body(())?).await?;
/// assert_eq!((rejected.status().as_u16(), &rejected.headers()["grpc-status"]), (200, &"16".parse()?));
///
/// let rejected = service.oneshot(Request::get("/reports").body(())?).await?;
/// assert_eq!(rejected.status(), 401);
/// assert_eq!(rejected.headers()["content-type"], "application/problem+json");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct ProblemDetails;

impl RenderDenial for ProblemDetails {
    fn render(&self, denial: &Denial, request: &Parts) -> Response<Bytes> {
        match grpc::content_type(request) {
            Some(content_type) => grpc::trailers_only(denial.problem(), content_type),
            None => denial.problem().clone().for_request(request).into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use goat_core::{ErrorKind, Quota, limit::Decision};
    use http::{HeaderValue, StatusCode};
    use http_body_util::{BodyExt, Empty};
    use std::time::Duration;

    fn request(content_type: Option<&'static str>) -> Parts {
        let mut request = http::Request::post("/reports?page=1").body(()).expect("one");
        if let Some(value) = content_type {
            *request.version_mut() = http::Version::HTTP_2;
            request.headers_mut().insert("te", HeaderValue::from_static("trailers"));
            request.headers_mut().insert("content-type", HeaderValue::from_static(value));
        }
        request.into_parts().0
    }

    async fn body(response: Response<ResponseBody<Empty<Bytes>>>) -> String {
        let bytes = response.into_body().collect().await.expect("no error").to_bytes();
        String::from_utf8(bytes.to_vec()).expect("UTF-8")
    }

    #[tokio::test]
    async fn default_is_a_problem_document_with_the_denial_in_the_extensions() {
        let denial = Denial::new(Error::from(ErrorKind::Forbidden)).with_scope("report:read");
        let response = denial.respond::<Empty<Bytes>>(&ProblemDetails, &request(None));
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let reason = response.extensions().get::<Denial>().expect("the reason");
        assert_eq!(reason.error().expect("an error").kind(), ErrorKind::Forbidden);
        let challenge = response.headers()["www-authenticate"].to_str().expect("ASCII");
        assert!(challenge.ends_with(r#"scope="report:read""#), "{challenge}");
        let text = body(response).await;
        assert!(text.contains(r#""instance":"/reports","code":"forbidden""#), "{text}");
    }

    #[tokio::test]
    async fn grpc_client_gets_a_trailers_only_response() {
        let decision = Decision {
            limit: "user".into(),
            quota: Quota::per_minute(1),
            remaining: 0,
            reset_after: Duration::from_secs(9),
            retry_after: Some(Duration::from_secs(9)),
        };
        let denials = [
            (Denial::new(ErrorKind::Unauthenticated.into()), "16"),
            (Denial::new(ErrorKind::SessionRevoked.into()), "16"),
            (Denial::new(ErrorKind::Forbidden.into()), "7"),
            (Denial::new(Error::rate_limited(vec![decision])), "8"),
            (Denial::new(Error::unavailable("sessions.find", Duration::ZERO)), "14"),
            (Denial::from(BearerError::Repeated), "3"),
            (Denial::new(ErrorKind::Internal.into()), "13"),
        ];
        for (denial, status) in denials {
            let request = request(Some("application/grpc+proto"));
            let message = denial.problem().detail().to_owned();
            let response = denial.respond::<Empty<Bytes>>(&ProblemDetails, &request);
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.headers()["content-type"], "application/grpc");
            assert_eq!(response.headers()["grpc-status"], status, "{message}");
            assert_eq!(response.headers()["grpc-message"], message);
            assert!(response.extensions().get::<Denial>().is_some());
            assert_eq!(body(response).await, "");
        }
    }

    #[tokio::test]
    async fn application_can_replace_the_renderer() {
        let renderer = |denial: &Denial, _: &Parts| {
            let mut response = Response::new(Bytes::from(denial.code()));
            *response.status_mut() = StatusCode::IM_A_TEAPOT;
            response
        };
        let denial = Denial::new(ErrorKind::Unauthenticated.into());
        let response = denial.respond::<Empty<Bytes>>(&renderer, &request(None));
        assert_eq!(response.status(), StatusCode::IM_A_TEAPOT);
        assert_eq!(
            response.extensions().get::<Denial>().expect("the reason").code(),
            "unauthenticated"
        );
        assert_eq!(body(response).await, "unauthenticated");
    }

    /// J8
    #[test]
    fn repeated_authorization_is_a_bad_request_and_a_malformed_one_an_invalid_token() {
        let denial = Denial::from(BearerError::Repeated);
        assert_eq!((denial.problem().status().as_u16(), denial.code()), (400, "bad-request"));
        for error in [BearerError::TooLong, BearerError::Malformed] {
            let denial = Denial::from(error);
            assert_eq!((denial.problem().status().as_u16(), denial.code()), (401, "invalid-token"));
        }
    }
}
