//! Conversion into a requirement, with a helpful compiler message for other types.

use super::Requirement;

mod sealed {
    pub trait Sealed {}
    impl<T: Into<super::Requirement>> Sealed for T {}
}

/// Conversion into a [`Requirement`]: from a [`Permission`](goat_core::Permission), a
/// [`Role`](goat_core::Role), a reference to one, or an array of which all are required.
///
/// It is implemented for every `Into<Requirement>` and nothing else; for your own types, implement `From`
/// for `Requirement`. The trait exists for the compiler's message about strings, which are not
/// requirements because their spelling would not be checked:
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
/// error[E0277]: `&str` is not a requirement
///   |
///   |     goat.require("report:read");
///   |                  ^^^^^^^^^^^^^ expected a permission, a role or a `Requirement`
///   |
///   = note: a permission is a constant, so that a misspelt one does not compile: write
///           `const REPORTS: Permission = Permission::new("report:read");` and use `REPORTS`
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
/// The trait is sealed:
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
    message = "`{Self}` is not a requirement",
    label = "expected a permission, a role or a `Requirement`",
    note = "a permission is a constant, so that a misspelt one does not compile: write `const REPORTS: Permission = Permission::new(\"report:read\");` and use `REPORTS`",
    note = "a role comes from `goat.roles().get(\"admin\")`; several requirements are an array, `Requirement::all` or `Requirement::any`"
)]
pub trait IntoRequirement: sealed::Sealed {
    /// Converts into a requirement.
    fn into_requirement(self) -> Requirement;
}

// For a string, the message of the trait is more helpful than this bound.
#[diagnostic::do_not_recommend]
impl<T: Into<Requirement>> IntoRequirement for T {
    fn into_requirement(self) -> Requirement {
        self.into()
    }
}
