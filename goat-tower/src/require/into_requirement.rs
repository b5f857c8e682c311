//! What can stand where a requirement is asked for, and what the compiler says of what cannot.

use super::Requirement;

mod sealed {
    pub trait Sealed {}
    impl<T: Into<super::Requirement>> Sealed for T {}
}

/// What stands for a [`Requirement`] by itself: a [`Permission`](goat_core::Permission), a
/// [`Role`](goat_core::Role), a reference to one, or an array of which all are needed.
///
/// Whatever is `Into<Requirement>` is this too, and nothing else is: types of one's own implement
/// `From` for `Requirement`. The trait is here for what the compiler says of a text, which is no
/// requirement since nobody would check how it is spelt:
///
/// ```compile_fail,E0277
/// use goat_core::Goat;
/// use goat_tower::GoatExt;
///
/// fn layer(goat: &Goat) {
///     goat.require("report:read");
/// }
/// ```
///
/// ```text
/// error[E0277]: `&str` does not say what a request needs
///   |
///   |     goat.require("report:read");
///   |                  ^^^^^^^^^^^^^ not a requirement
///   |
///   = note: a permission is a constant, so that a misspelt one does not compile: write
///           `const REPORTS: Permission = Permission::new("report:read");` and give `REPORTS`
/// ```
///
/// ```
/// use goat_core::{Goat, Permission};
/// use goat_tower::GoatExt;
///
/// const REPORTS: Permission = Permission::new("report:read");
///
/// fn layer(goat: &Goat) {
///     let _ = goat.require(REPORTS);
/// }
/// ```
///
/// To implement it by itself does not compile:
///
/// ```compile_fail,E0277
/// use goat_tower::{IntoRequirement, Requirement};
///
/// struct Signed;
///
/// impl IntoRequirement for Signed {
///     fn into_requirement(self) -> Requirement {
///         Requirement::signed_in()
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say what a request needs",
    label = "not a requirement",
    note = "a permission is a constant, so that a misspelt one does not compile: write `const REPORTS: Permission = Permission::new(\"report:read\");` and give `REPORTS`",
    note = "a role is what `goat.roles().get(\"admin\")` finds; several requirements are an array, `Requirement::all` or `Requirement::any`"
)]
pub trait IntoRequirement: sealed::Sealed {
    /// The requirement that it stands for.
    fn into_requirement(self) -> Requirement;
}

// The bound is not what somebody who gave a text wants to read of.
#[diagnostic::do_not_recommend]
impl<T: Into<Requirement>> IntoRequirement for T {
    fn into_requirement(self) -> Requirement {
        self.into()
    }
}
