//! Problem documents (RFC 9457) for errors.
//!
//! Invariants: a document contains only sentences written for clients, and nothing of a cause, a store or the
//! content of a header. It has the path of the request, never the query. Every response made here is
//! `no-store`, since it concerns one request.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use goat_core::auth::Assurance;
use goat_core::factor::PendingSignIn;
use goat_core::limit::Decision;
use goat_core::user::InvalidEmail;
use goat_core::{Error, ErrorKind, RequiredProof, Violation};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use crate::request::bearer::BearerError;
use crate::request::request_id::RequestId;
use crate::response::decisions::LimitDecisions;
use crate::response::grpc;
use crate::response::json::ObjectWriter;
use crate::response::rate_limit_headers::ceil_seconds;
use crate::response::status::{Challenge, StatusEntry, status_entry};
use crate::response::timestamp::Rfc3339;

/// A problem document with its status and headers.
///
/// Made from an [`Error`] of goat, or by hand for errors of the application:
///
/// ```
/// use goat_core::{Error, ErrorKind};
/// use goat_tower::Problem;
/// use http::StatusCode;
///
/// let problem = Problem::from(Error::from(ErrorKind::TokenExpired));
/// assert_eq!((problem.status(), problem.code()), (StatusCode::UNAUTHORIZED, "token-expired"));
///
/// let response = Problem::new(
///     StatusCode::PAYLOAD_TOO_LARGE,
///     "payload-too-large",
///     "Payload too large",
///     "The body may be 64 KiB at most.",
/// )
/// .into_response();
/// assert_eq!(response.headers()["content-type"], "application/problem+json");
/// ```
///
/// With the feature `axum` it is the error type of handlers, and `?` converts goat's errors:
///
/// ```
/// # #[cfg(not(feature = "axum"))]
/// # fn main() {}
/// # #[cfg(feature = "axum")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::extract::State;
/// use axum::http::{Request, StatusCode};
/// use axum::{Router, body::Body, routing::get};
/// use goat_core::testing::TestGoat;
/// use goat_core::{Goat, UserId};
/// use goat_tower::{GoatExt, Principal, Problem};
/// use tower::ServiceExt;
///
/// async fn me(me: Principal) -> String {
///     me.profile().email.as_str().to_owned()
/// }
///
/// async fn other(State(goat): State<Goat>, me: Principal) -> Result<String, Problem> {
///     let user = goat.users().find(&me, UserId::generate(goat.time().now())).await?;
///     Ok(user.email.as_str().to_owned())
/// }
///
/// let test = TestGoat::new();
/// let app = Router::new()
///     .route("/me", get(me))
///     .route("/other", get(other))
///     .layer(test.goat.authenticate())
///     .with_state(test.goat.clone());
/// let alice = test.sign_in("alice", []).await;
/// let ask = |path: &str| {
///     let request = Request::get(path).header("authorization", alice.bearer()).body(Body::empty());
///     app.clone().oneshot(request.expect("a request"))
/// };
///
/// assert_eq!(ask("/me").await?.status(), StatusCode::OK);
/// // Without the permission it is a 403, whether the user exists or not.
/// let rejected = ask("/other").await?;
/// assert_eq!(rejected.status(), StatusCode::FORBIDDEN);
/// let document = axum::body::to_bytes(rejected.into_body(), 4096).await?;
/// let document: serde_json::Value = serde_json::from_slice(&document)?;
/// assert_eq!(document["code"], "forbidden");
/// # Ok(())
/// # }
/// ```
///
/// Unknown members are left out. The response carries the problem in its extensions, so that an outer layer
/// can complete it; see [`Problem::for_request`].
#[derive(Clone, Debug)]
pub struct Problem(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    entry: StatusEntry,
    detail: Cow<'static, str>,
    instance: Option<String>,
    request_id: Option<RequestId>,
    violations: Vec<Violation>,
    omitted_violations: usize,
    scope: Option<Cow<'static, str>>,
    required_proof: RequiredProof,
    pending: Option<PendingSignIn>,
    error: Option<Arc<Error>>,
    retry_after: Option<Duration>,
    decisions: Vec<Decision>,
    headers: HeaderMap,
}

impl Problem {
    /// Creates a problem from a stable `code`, which identifies it for clients (and makes the `type`,
    /// `/errors/<code>`), a short `title` that is constant for the code, and a `detail`: a full sentence
    /// that a person can act on.
    ///
    /// A 401 gets the plain challenge; a 429 or 503 gets `Retry-After: 1` unless
    /// [`with_retry_after`](Self::with_retry_after) sets more.
    #[must_use]
    pub fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        let challenge = match status {
            StatusCode::UNAUTHORIZED => Challenge::SignIn,
            _ => Challenge::None,
        };
        Self::from_entry(StatusEntry { status, code, title, challenge }, detail.into())
    }

    /// Creates a 500 for an error of the application, such as one of its database, and logs the error with
    /// its causes (feature `tracing`). The client reads nothing of it.
    ///
    /// ```
    /// use goat_tower::Problem;
    ///
    /// let problem = Problem::internal(std::io::Error::other("the disk is full"));
    /// assert_eq!((problem.status().as_u16(), problem.code()), (500, "internal"));
    /// ```
    #[must_use]
    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let source = source.into();
        #[cfg(feature = "tracing")]
        {
            let error: &dyn std::error::Error = &*source;
            let causes = std::iter::successors(Some(error), |error| error.source());
            let causes: Vec<_> = causes.map(ToString::to_string).collect();
            tracing::error!("internal error of the application: {}", causes.join(": "));
        }
        Error::from(ErrorKind::Internal).with_source(source).into()
    }

    fn from_entry(entry: StatusEntry, detail: Cow<'static, str>) -> Self {
        Self(Box::new(Inner {
            entry,
            detail,
            instance: None,
            request_id: None,
            violations: Vec::new(),
            omitted_violations: 0,
            scope: None,
            required_proof: RequiredProof::default(),
            pending: None,
            error: None,
            retry_after: None,
            decisions: Vec::new(),
            headers: HeaderMap::new(),
        }))
    }

    /// Sets the invalid fields, each with the rule that it violates. The document lists the first 20, and
    /// counts the others in `errors_omitted`.
    #[must_use]
    pub fn with_violations(mut self, violations: Vec<Violation>) -> Self {
        self.0.violations = violations;
        self
    }

    /// Sets how many more violations there are, for an application that does not keep all of them.
    #[must_use]
    pub fn with_omitted_violations(mut self, count: usize) -> Self {
        self.0.omitted_violations = count;
        self
    }

    /// Sets the missing permissions, separated by spaces, for the challenge of a 403. Characters that a
    /// scope cannot contain (RFC 6750 §3) are left out, and so are permissions beyond 1 KiB in total.
    #[must_use]
    pub fn with_scope(mut self, scope: impl Into<Cow<'static, str>>) -> Self {
        self.0.scope = Some(scope.into());
        self.0.entry.challenge = Challenge::InsufficientScope;
        self
    }

    /// Sets the time until a retry makes sense; shown on 429 and 503 only.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// Sets a header of the response, such as `Allow` for a 405, replacing one of that name.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// Sets the path of the request, without the query.
    #[must_use]
    pub fn with_instance(mut self, path: impl Into<String>) -> Self {
        self.0.instance = Some(path.into());
        self
    }

    /// Sets the id of the request.
    #[must_use]
    pub fn with_request_id(mut self, id: RequestId) -> Self {
        self.0.request_id = Some(id);
        self
    }

    /// Adds the path of the request, and its [`RequestId`] if it has one in its extensions.
    ///
    /// Nested routers strip a prefix of the path; there, set the whole path with
    /// [`with_instance`](Self::with_instance) afterwards.
    #[must_use]
    pub fn for_request(mut self, request: &Parts) -> Self {
        self.0.instance = Some(request.uri.path().to_owned());
        if let Some(id) = request.extensions.get::<RequestId>() {
            self.0.request_id = Some(id.clone());
        }
        self
    }

    /// Returns the HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.entry.status
    }

    /// Returns the stable name of the problem.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.0.entry.code
    }

    /// Returns the summary, which is constant for a code.
    #[must_use]
    pub fn title(&self) -> &'static str {
        self.0.entry.title
    }

    /// Returns the sentence for the client.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Returns the invalid fields, each with the rule that it violates.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.0.violations
    }

    /// Returns the error of goat that the problem was made from, with its source chain, for the log. It is
    /// never part of the document.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        self.0.error.as_deref()
    }

    /// Returns the [gRPC status](https://grpc.io/docs/guides/status-codes/) that corresponds to the HTTP
    /// status, such as 16 for a 401, 7 for a 403, 8 for a 429 and 14 for a 503. For gRPC handlers;
    /// rejections of the layers are rendered that way already. With the feature `tonic` a problem
    /// converts into a `tonic::Status`.
    ///
    /// ```
    /// use goat_core::ErrorKind;
    /// use goat_tower::Problem;
    ///
    /// assert_eq!(Problem::from(ErrorKind::SessionRevoked).grpc_status(), 16);
    /// assert_eq!(Problem::from(ErrorKind::Forbidden).grpc_status(), 7);
    /// ```
    #[must_use]
    pub fn grpc_status(&self) -> i32 {
        grpc::status(self.status())
    }

    /// Returns the value of `Retry-After`: whole seconds, rounded up, at least 1; only for 429 and 503.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        match self.status() {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                Some(ceil_seconds(self.0.retry_after.unwrap_or_default()).max(1))
            }
            _ => None,
        }
    }

    /// Returns the document as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let inner = &*self.0;
        let mut text = String::with_capacity(256);
        let mut object = ObjectWriter::open(&mut text);
        object
            .string("type", &format!("/errors/{}", inner.entry.code))
            .string("title", inner.entry.title)
            .number("status", inner.entry.status.as_u16())
            .string("detail", &inner.detail);
        if let Some(instance) = &inner.instance {
            object.string("instance", instance);
        }
        object.string("code", inner.entry.code);
        if let Some(id) = &inner.request_id {
            object.string("request_id", id.as_str());
        }
        if let Some(users) = inner.error.as_ref().and_then(|error| error.users()) {
            object.number("users", users);
        }
        if let Some(pending) = &inner.pending {
            object
                .string("challenge", &pending.challenge().to_string())
                .string("secret", pending.secret().expose())
                .strings("methods", pending.methods().iter().map(|method| method.as_str()))
                .strings("enrol", pending.enrol().iter().map(|kind| kind.as_str()))
                .string("expires_at", &Rfc3339(pending.expires_at()).to_string());
        }
        if !inner.violations.is_empty() {
            let shown = inner.violations.len().min(SHOWN_VIOLATIONS);
            object.objects("errors", &inner.violations[..shown], |object, violation| {
                object.string("field", &violation.field).string("message", &violation.message);
            });
            let omitted = inner.violations.len() - shown + inner.omitted_violations;
            if omitted > 0 {
                object.number("errors_omitted", omitted);
            }
        }
        object.close();
        text
    }

    /// Returns the response: status, headers and document. Its extensions contain the problem and the
    /// [`LimitDecisions`] of the error, if any.
    #[must_use]
    pub fn into_response(mut self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(self.to_json()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(challenge) = self.challenge() {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.retry_after_seconds() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        for (name, value) in &self.0.headers {
            headers.insert(name, value.clone());
        }
        let decisions = std::mem::take(&mut self.0.decisions);
        if !decisions.is_empty() {
            response.extensions_mut().insert(LimitDecisions::from(decisions));
        }
        response.extensions_mut().insert(self);
        response
    }

    /// `WWW-Authenticate` of RFC 6750 §3 and RFC 9470 §3.
    fn challenge(&self) -> Option<HeaderValue> {
        let text = match self.0.entry.challenge {
            Challenge::None => return None,
            Challenge::SignIn => return Some(HeaderValue::from_static(r#"Bearer realm="goat""#)),
            Challenge::InvalidToken => format!(
                r#"Bearer realm="goat", error="invalid_token", error_description="{}""#,
                quotable(&self.0.detail)
            ),
            Challenge::InsufficientScope => {
                let mut text = String::from(r#"Bearer realm="goat", error="insufficient_scope""#);
                let scope = bounded_scope(self.0.scope.as_deref().unwrap_or_default());
                if !scope.is_empty() {
                    text.extend([r#", scope=""#, &scope, "\""]);
                }
                text
            }
            Challenge::InsufficientAuthentication => {
                let error = "insufficient_user_authentication";
                let mut text = format!(r#"Bearer realm="goat", error="{error}""#);
                let RequiredProof { max_age, multi } = self.0.required_proof;
                if let Some(age) = max_age {
                    text.extend([r#", max_age=""#, &age.as_secs().to_string(), "\""]);
                }
                if multi {
                    text.extend([r#", acr_values=""#, Assurance::Multi.as_str(), "\""]);
                }
                text
            }
        };
        HeaderValue::try_from(text).ok()
    }
}

/// Maximum number of violations in a document.
const SHOWN_VIOLATIONS: usize = 20;

/// Keeps the characters that a quoted value of a challenge may contain.
fn quotable(text: &str) -> String {
    text.chars().filter(is_quotable).collect()
}

/// Whether a quoted value of a challenge may contain a character: printable ASCII without `"` and `\`
/// (RFC 6750 §3).
fn is_quotable(character: &char) -> bool {
    matches!(character, ' '..='~') && !matches!(character, '"' | '\\')
}

/// Maximum length of the scope in a challenge, in bytes.
const SCOPE_LIMIT: usize = 1024;

/// Returns the scope of a challenge. Permissions that do not fit are left out whole: a part of one would be
/// another permission.
fn bounded_scope(permissions: &str) -> String {
    let mut scope = String::with_capacity(permissions.len().min(SCOPE_LIMIT));
    for permission in permissions.split(' ') {
        let end = scope.len();
        if end > 0 {
            scope.push(' ');
        }
        let start = scope.len();
        scope.extend(permission.chars().filter(is_quotable));
        if scope.len() == start || scope.len() > SCOPE_LIMIT {
            scope.truncate(end);
        }
    }
    scope
}

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        let entry = status_entry(error.kind());
        let mut problem = Self::from_entry(entry, error.client_message().to_owned().into());
        problem.0.violations = error.violations().to_vec();
        problem.0.required_proof = error.required_proof().unwrap_or_default();
        problem.0.pending = error.pending().cloned();
        problem.0.retry_after = error.retry_after();
        problem.0.decisions = error.decisions().to_vec();
        problem
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let mut problem = Self::from(&error);
        problem.0.error = Some(Arc::new(error));
        problem
    }
}

impl From<ErrorKind> for Problem {
    fn from(kind: ErrorKind) -> Self {
        Self::from(Error::from(kind))
    }
}

impl From<BearerError> for Problem {
    fn from(error: BearerError) -> Self {
        error.to_error().map_or_else(
            || {
                Self::new(
                    StatusCode::BAD_REQUEST,
                    "bad-request",
                    "Bad request",
                    "The request has more than one `Authorization` header. Send only one.",
                )
            },
            Self::from,
        )
    }
}

/// A `validation` of the field `email`.
impl From<InvalidEmail> for Problem {
    fn from(error: InvalidEmail) -> Self {
        Self::from(Error::from(error))
    }
}
