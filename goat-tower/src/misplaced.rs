//! What is said where a layer is missing or stands in the wrong place.

use goat_core::Error;

/// A defect of the application's wiring: 500 for the client, who cannot mend it, and for the log
/// what to mend. Without the feature `tracing` that is only in the response's extensions.
pub(crate) fn misplaced(advice: &'static str) -> Error {
    #[cfg(feature = "tracing")]
    tracing::error!("{advice}");
    Error::configuration(advice)
}
