//! Feature `axum`: goat's types where axum's handlers take and give them.

use axum_core::body::Body;
use axum_core::response::{IntoResponse, Response};

use crate::Problem;

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        Self::into_response(self).map(Body::from)
    }
}
