//! What goat's handle gains over HTTP.

use goat_core::{Goat, Quota};

use crate::authenticate::AuthenticateLayer;
use crate::limit::LimitLayer;
use crate::require::{IntoRequirement, RequireLayer};

mod sealed {
    pub trait Sealed {}
    impl Sealed for goat_core::Goat {}
}

/// Layers over a [`Goat`]. Implemented for it and for nothing else.
///
/// `use goat_tower::GoatExt;` brings them into scope; without it, a `Goat` has "no method named
/// `authenticate`".
///
/// Every layer is a plain value: cheap to clone, without a type parameter, over any body and any
/// error.
///
/// ```
/// use goat_core::testing::TestGoat;
/// use goat_core::{Permission, Quota};
/// use goat_tower::GoatExt;
/// use http::{Request, Response, StatusCode};
/// use http_body_util::Empty;
/// use tower::{ServiceBuilder, ServiceExt};
///
/// const EXPORT: Permission = Permission::new("report:export");
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let test = TestGoat::new();
/// let service = ServiceBuilder::new()
///     .layer(test.goat.authenticate())
///     .layer(test.goat.require(EXPORT))
///     .layer(test.goat.limit(Quota::per_minute(1)).by_user())
///     .service_fn(async |_: Request<()>| {
///         Ok::<_, std::convert::Infallible>(Response::new(Empty::<&[u8]>::new()))
///     });
///
/// let alice = test.sign_in("alice", [EXPORT]).await;
/// let request = || Request::builder().header("authorization", alice.bearer()).body(());
/// let statuses = [
///     service.clone().oneshot(request()?).await?.status(),
///     service.clone().oneshot(request()?).await?.status(),
///     service.oneshot(Request::new(())).await?.status(),
/// ];
/// let expected = [StatusCode::OK, StatusCode::TOO_MANY_REQUESTS, StatusCode::UNAUTHORIZED];
/// assert_eq!(statuses, expected);
/// # Ok(())
/// # }
/// ```
pub trait GoatExt: sealed::Sealed {
    /// Lets in who shows an access token of a live session, and leaves a
    /// [`Principal`](crate::Principal). With limits around it as one layer, see
    /// [`limited`](AuthenticateLayer::limited).
    #[must_use]
    fn authenticate(&self) -> AuthenticateLayer;

    /// Lets through who has a permission, or whatever else a [`Requirement`](crate::Requirement) asks for.
    #[must_use]
    fn require(&self, requirement: impl IntoRequirement) -> RequireLayer;

    /// Lets through so many requests in a while, of each client unless told otherwise.
    #[must_use]
    fn limit(&self, quota: Quota) -> LimitLayer;
}

impl GoatExt for Goat {
    fn authenticate(&self) -> AuthenticateLayer {
        AuthenticateLayer::new(self.clone())
    }

    fn require(&self, requirement: impl IntoRequirement) -> RequireLayer {
        RequireLayer::new(self.clone(), requirement.into_requirement())
    }

    fn limit(&self, quota: Quota) -> LimitLayer {
        LimitLayer::new(self.limits().clone(), quota)
    }
}
