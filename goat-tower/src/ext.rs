//! Extension traits: the layers of a `Goat` and of an offline `Verifier`.

use goat_core::token::Verifier;
use goat_core::{Goat, Quota};

use crate::authenticate::AuthenticateLayer;
#[cfg(feature = "tonic")]
use crate::guard::Guarded;
use crate::limit::LimitLayer;
use crate::require::{IntoRequirement, RequireLayer, TokenRequirement};
#[cfg(feature = "tonic")]
use crate::tonic::{InvalidMethods, RequireByMethod};

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
    /// Rejects requests without an access token of a live session or an API key, and leaves a
    /// [`Principal`](crate::Principal). [`limited`](AuthenticateLayer::limited) combines it with limits.
    #[must_use]
    fn authenticate(&self) -> AuthenticateLayer;

    /// Rejects principals that do not satisfy a [`Requirement`](crate::Requirement), such as a permission.
    #[must_use]
    fn require(&self, requirement: impl IntoRequirement) -> RequireLayer;

    /// Limits the rate of requests, per client address by default.
    #[must_use]
    fn limit(&self, quota: Quota) -> LimitLayer;

    /// Puts a gRPC service of tonic behind a requirement for each of its methods.
    ///
    /// `description` is the file descriptor set that the build script writes beside the generated code
    /// (`file_descriptor_set_path` of tonic-prost-build). Each of its methods needs a requirement, for
    /// which [`Requirement::signed_in`](crate::Requirement::signed_in) is the weakest. A method that is
    /// called and not described is `NOT_FOUND`.
    ///
    /// ```rust,ignore
    /// let reports = goat.require_by_method(
    ///     ReportsServer::new(reports),
    ///     tonic::include_file_descriptor_set!("reports"),
    ///     [("List", REPORTS), ("Follow", REPORTS), ("Audit", AUDIT)],
    /// )?;
    /// Server::builder().add_service(reports).serve(address).await?;
    /// ```
    ///
    /// # Errors
    ///
    /// If the methods are not those of the description: one is misspelt, missing or repeated.
    #[cfg(feature = "tonic")]
    fn require_by_method<S, R>(
        &self,
        service: S,
        description: &[u8],
        methods: impl IntoIterator<Item = (&'static str, R)>,
    ) -> Result<Guarded<S, RequireByMethod>, InvalidMethods>
    where
        S: ::tonic::server::NamedService,
        R: IntoRequirement;
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

    #[cfg(feature = "tonic")]
    fn require_by_method<S, R>(
        &self,
        service: S,
        description: &[u8],
        methods: impl IntoIterator<Item = (&'static str, R)>,
    ) -> Result<Guarded<S, RequireByMethod>, InvalidMethods>
    where
        S: ::tonic::server::NamedService,
        R: IntoRequirement,
    {
        let methods = methods.into_iter();
        let methods =
            methods.map(|(method, rule)| (method.to_owned(), rule.into_requirement())).collect();
        RequireByMethod::guard(service, self, description, methods)
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
