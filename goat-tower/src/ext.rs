//! What goat's handle gains over HTTP.

use goat_core::{Goat, Quota};

use crate::authenticate::AuthenticateLayer;
use crate::limit::LimitLayer;
use crate::require::{RequireLayer, Requirement};

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
pub trait GoatExt: sealed::Sealed {
    /// Lets in who shows an access token of a live session, and leaves a
    /// [`Principal`](crate::Principal). With limits around it as one layer, see
    /// [`limited`](AuthenticateLayer::limited).
    fn authenticate(&self) -> AuthenticateLayer;

    /// Lets through whose role has a permission, all of several, or any of several.
    ///
    /// A permission is one by its form, which is checked where it is made; a text will not do:
    ///
    /// ```compile_fail,E0277
    /// use goat_core::testing::TestGoat;
    /// use goat_tower::GoatExt;
    ///
    /// let layer = TestGoat::new().goat.require("report:read"); // Permission::new("report:read")
    /// ```
    fn require(&self, requirement: impl Into<Requirement>) -> RequireLayer;

    /// Lets through so many requests in a while, of each client unless told otherwise.
    fn limit(&self, quota: Quota) -> LimitLayer;
}

impl GoatExt for Goat {
    fn authenticate(&self) -> AuthenticateLayer {
        AuthenticateLayer::new(self.clone())
    }

    fn require(&self, requirement: impl Into<Requirement>) -> RequireLayer {
        RequireLayer::new(self.clone(), requirement.into())
    }

    fn limit(&self, quota: Quota) -> LimitLayer {
        LimitLayer::new(self.limits().clone(), quota)
    }
}
