//! Assertions on responses, with their failure messages.

use std::borrow::Cow;
use std::fmt::Display;
use std::time::Duration;

use goat_core::ErrorKind;
use http::Response;

use super::outcome::{Outcome, code_of};

/// Asserts that a request was allowed: neither a layer nor a handler rejected it with a 401, 403,
/// 429 or 503. Other responses of the handler, such as a 404, pass.
///
/// For a response that lost its extensions, for example over a network, only the status is used.
///
/// ```
/// use goat_core::testing::TestGoat;
/// use goat_tower::GoatExt;
/// use goat_tower::testing::{RequestBuilderExt, assert_allowed};
/// use http::{Request, Response};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let test = TestGoat::new();
/// let service = test.goat.authenticate().layer(service_fn(async |_: Request<()>| {
///     Ok::<_, std::convert::Infallible>(Response::new(()))
/// }));
/// let alice = test.sign_in("alice", []).await;
/// assert_allowed(&service.oneshot(Request::get("/").signed_in(&alice).body(())?).await?);
/// # Ok(())
/// # }
/// ```
///
/// # Panics
///
/// If the request was rejected; the message contains the reason and, for a missing layer, how to
/// add it.
#[track_caller]
pub fn assert_allowed<B>(response: &Response<B>) {
    let outcome = Outcome::of(response);
    assert!(!outcome.is_rejection(), "expected to be allowed\n  got {outcome}");
}

/// Asserts that a request was rejected for a reason: the code of its problem document, as in
/// [`ErrorKind::code`], or the [`ErrorKind`] itself. Returns the rejection for further assertions.
///
/// The reason is read from the [`Denial`](crate::Denial) that a layer leaves in the response's
/// extensions, independent of its rendered form, or from the handler's [`Problem`](crate::Problem).
/// For a response that lost its extensions, for example over a network, the default headers of the
/// layers are used; reasons that they cannot tell apart fail.
///
/// ```
/// use goat_core::testing::TestGoat;
/// use goat_core::{ErrorKind, Permission};
/// use goat_tower::GoatExt;
/// use goat_tower::testing::{RequestBuilderExt, assert_denied};
/// use http::{Request, Response};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// const REPORTS: Permission = Permission::new("report:read");
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let test = TestGoat::new();
/// let service = test.goat.require(REPORTS).layer(service_fn(async |_: Request<()>| {
///     Ok::<_, std::convert::Infallible>(Response::new(()))
/// }));
/// let anonymous = service.clone().oneshot(Request::new(())).await?;
/// assert_denied(&anonymous, ErrorKind::Unauthenticated);
///
/// let bob = test.sign_in("bob", []).await;
/// let denied = service.oneshot(Request::get("/").signed_in(&bob).body(())?).await?;
/// assert_denied(&denied, "forbidden").lacking(REPORTS);
/// # Ok(())
/// # }
/// ```
///
/// # Panics
///
/// If the request was allowed, or rejected for another reason; the message contains the actual
/// outcome.
#[track_caller]
pub fn assert_denied<B>(response: &Response<B>, code: impl Into<Code>) -> Refused {
    let (outcome, Code(code)) = (Outcome::of(response), code.into());
    assert!(outcome.code() == Some(&*code), "expected to be denied as {code}\n  got {outcome}");
    Refused { outcome }
}

/// Stable code of a rejection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code(Cow<'static, str>);

impl From<&'static str> for Code {
    fn from(code: &'static str) -> Self {
        Self(code.into())
    }
}

impl From<ErrorKind> for Code {
    fn from(kind: ErrorKind) -> Self {
        Self(code_of(kind))
    }
}

/// A rejected response, for further assertions.
#[derive(Clone, Debug)]
pub struct Refused {
    outcome: Outcome,
}

impl Refused {
    /// Asserts that the rejection names a missing permission, among others or alone: as text or as
    /// a [`Permission`](goat_core::Permission), several separated by spaces.
    ///
    /// # Panics
    ///
    /// If the challenge does not name it.
    #[expect(clippy::return_self_not_must_use, reason = "it asserts")]
    #[track_caller]
    pub fn lacking(self, permissions: impl Display) -> Self {
        let wanted = permissions.to_string();
        let named = |one: &str| self.outcome.scope().split(' ').any(|other| other == one);
        assert!(
            !wanted.trim().is_empty() && wanted.split_whitespace().all(named),
            "expected to lack {wanted}\n  got {}",
            self.outcome
        );
        self
    }

    /// Returns the wait from `Retry-After`, in whole seconds. After a test's clock advances by it,
    /// the request is allowed again.
    ///
    /// # Panics
    ///
    /// If there is no `Retry-After`.
    #[must_use]
    #[track_caller]
    pub fn retry_after(&self) -> Duration {
        let Some(wait) = self.outcome.retry_after() else {
            panic!("expected a Retry-After header\n  got {}", self.outcome)
        };
        wait
    }
}
