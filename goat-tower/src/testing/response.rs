//! What a test asserts of a response, and what it is told where that does not hold.

use std::borrow::Cow;
use std::fmt::Display;
use std::time::Duration;

use goat_core::ErrorKind;
use http::Response;

use super::outcome::{Outcome, code_of};

/// Asserts that a request was let through: no layer refused it, nor did a handler in goat's words (a
/// 401, 403, 429 or 503). What else the handler answers, a 404 say, is its own business.
///
/// Where a response lost its extensions, over a network say, its status alone tells.
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
/// If it was refused; the message says why, and for a layer that is missing what to add.
#[track_caller]
pub fn assert_allowed<B>(response: &Response<B>) {
    let outcome = Outcome::of(response);
    assert!(!outcome.is_refusal(), "expected to be allowed\n  got {outcome}");
}

/// Asserts that a request was refused for a reason: the code of its problem document, as in
/// [`ErrorKind::code`], or the [`ErrorKind`] itself. Answers what else can be asked of it.
///
/// The reason is the [`Denial`](crate::Denial) that a layer leaves in the response's extensions,
/// however it was made to look; or the [`Problem`](crate::Problem) of a handler. Where a response lost
/// its extensions, over a network say, its headers tell what layers refuse for by default; what they
/// do not tell apart fails.
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
/// let stranger = service.clone().oneshot(Request::new(())).await?;
/// assert_denied(&stranger, ErrorKind::Unauthenticated);
///
/// let bob = test.sign_in("bob", []).await;
/// let refused = service.oneshot(Request::get("/").signed_in(&bob).body(())?).await?;
/// assert_denied(&refused, "forbidden").lacking(REPORTS);
/// # Ok(())
/// # }
/// ```
///
/// # Panics
///
/// If it was let through, or refused for another reason; the message says what it got.
#[track_caller]
pub fn assert_denied<B>(response: &Response<B>, code: impl Into<Code>) -> Refused {
    let (outcome, Code(code)) = (Outcome::of(response), code.into());
    assert!(outcome.code() == Some(&*code), "expected to be denied as {code}\n  got {outcome}");
    Refused { outcome }
}

/// The stable name of a reason.
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

/// A response that was found to be a denial, to be asked what else it says.
#[derive(Clone, Debug)]
pub struct Refused {
    outcome: Outcome,
}

impl Refused {
    /// Asserts that it names a permission, among others or alone: as a text or a
    /// [`Permission`](goat_core::Permission), several separated by spaces.
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

    /// How long to wait, as `Retry-After` says: whole seconds. Who lets a test's clock advance by it
    /// gets in.
    ///
    /// # Panics
    ///
    /// If it says nothing of a wait.
    #[must_use]
    #[track_caller]
    pub fn retry_after(&self) -> Duration {
        let Some(wait) = self.outcome.retry_after() else {
            panic!("expected to be told how long to wait\n  got {}", self.outcome)
        };
        wait
    }
}
