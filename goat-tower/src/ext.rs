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
/// Every layer is a plain value: cheap to clone, without a type parameter, over any body and any
/// error.
pub trait GoatExt: sealed::Sealed {
    /// Lets in who shows an access token of a live session, and leaves a
    /// [`Principal`](crate::Principal). With limits around it as one layer, see
    /// [`limited`](AuthenticateLayer::limited).
    fn authenticate(&self) -> AuthenticateLayer;

    /// Lets through who has a permission, or whatever else a [`Requirement`](crate::Requirement) asks for.
    fn require(&self, requirement: impl IntoRequirement) -> RequireLayer;

    /// Lets through so many requests in a while, of each client unless told otherwise.
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
