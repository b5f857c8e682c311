//! Extension traits: the layers of a `Goat` and of an offline `Verifier`.

use goat_core::token::Verifier;
use goat_core::{Goat, Quota};

use crate::authenticate::AuthenticateLayer;
use crate::limit::LimitLayer;
use crate::require::{IntoRequirement, RequireLayer, TokenRequirement};

mod sealed {
    pub trait Sealed {}
    impl Sealed for goat_core::Goat {}
    impl Sealed for goat_core::token::Verifier {}
}

/// Layers over a [`Goat`]. Sealed.
///
/// `use goat_tower::GoatExt;` brings them into scope; without it, the compiler finds "no method named
/// `authenticate`".
///
/// A layer is cheap to clone, and works with any body and any error type.
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
    /// Rejects requests without an access token of a live session, and leaves a
    /// [`Principal`](crate::Principal). [`limited`](AuthenticateLayer::limited) combines it with limits.
    #[must_use]
    fn authenticate(&self) -> AuthenticateLayer;

    /// Rejects principals that do not satisfy a [`Requirement`](crate::Requirement), such as a permission.
    #[must_use]
    fn require(&self, requirement: impl IntoRequirement) -> RequireLayer;

    /// Limits the rate of requests, per client address by default.
    #[must_use]
    fn limit(&self, quota: Quota) -> LimitLayer;
}

impl GoatExt for Goat {
    fn authenticate(&self) -> AuthenticateLayer {
        AuthenticateLayer::new(self.clone())
    }

    fn require(&self, requirement: impl IntoRequirement) -> RequireLayer {
        RequireLayer::new(self.clone(), &requirement.into_requirement())
    }

    fn limit(&self, quota: Quota) -> LimitLayer {
        LimitLayer::new(self.limits().clone(), quota)
    }
}

/// Layers over an offline [`Verifier`]. Sealed. See [the module](crate::offline).
pub trait VerifierExt: sealed::Sealed {
    /// Rejects requests without a valid access token, and leaves a
    /// [`TokenPrincipal`](crate::offline::TokenPrincipal).
    #[must_use]
    fn authenticate(&self) -> AuthenticateLayer<Verifier>;

    /// Rejects tokens with permissions that do not satisfy a [`TokenRequirement`].
    #[must_use]
    fn require(&self, requirement: impl Into<TokenRequirement>) -> RequireLayer<Verifier>;
}

impl VerifierExt for Verifier {
    fn authenticate(&self) -> AuthenticateLayer<Verifier> {
        AuthenticateLayer::new(self.clone())
    }

    fn require(&self, requirement: impl Into<TokenRequirement>) -> RequireLayer<Verifier> {
        RequireLayer::offline(self.clone(), requirement.into())
    }
}
