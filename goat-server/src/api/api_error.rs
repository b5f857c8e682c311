//! Why a handler did not do what it was asked, on its way to a problem document.

use axum::response::{IntoResponse, Response};
use goat_core::Error;
use goat_tower::{BearerError, Denial};

/// The error of every handler.
///
/// The answer is the error's problem document; the error itself stays in the response's extensions
/// as a [`Denial`], with its cause, for the log.
#[derive(Debug)]
pub(crate) struct ApiError(Denial);

impl ApiError {
    /// Names the permissions that are missing, for the challenge.
    pub(crate) fn with_scope(self, scope: String) -> Self {
        Self(self.0.with_scope(scope))
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self(Denial::new(error))
    }
}

impl From<BearerError> for ApiError {
    fn from(error: BearerError) -> Self {
        Self(error.into())
    }
}

impl From<goat_core::ErrorKind> for ApiError {
    fn from(kind: goat_core::ErrorKind) -> Self {
        Error::from(kind).into()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = IntoResponse::into_response(self.0.problem().clone());
        response.extensions_mut().insert(self.0);
        response
    }
}
