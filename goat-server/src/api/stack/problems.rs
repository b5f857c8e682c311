//! Problem documents of the server itself, and the completion of all others.

use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use goat_core::{Error, ErrorKind};
use goat_tower::{Problem, RequestId};
use http::header::{ALLOW, CONTENT_LENGTH};
use http::{HeaderValue, StatusCode};

use crate::serve::deadline::Late;

/// Responds to an unmatched path.
pub(crate) async fn not_found() -> Response {
    let problem = Problem::new(
        StatusCode::NOT_FOUND,
        ErrorKind::NotFound.code(),
        "Not found",
        "This path does not exist. Check the URL.",
    );
    IntoResponse::into_response(problem)
}

/// Responds to a method that the path does not have.
pub(crate) fn method_not_allowed(allow: HeaderValue) -> Response {
    let problem = Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "Method not allowed",
        "This path does not support the method. See `Allow` for the supported ones.",
    );
    IntoResponse::into_response(problem.with_header(ALLOW, allow))
}

/// A handler panicked (H5). The response holds nothing of the panic's message.
pub(crate) fn panicked() -> Response {
    IntoResponse::into_response(Problem::from(ErrorKind::Internal))
}

/// Responds to a request at its deadline: with 408 if the client did not send the body (H3), else
/// with 503 (O1).
pub(crate) fn too_late(late: Late) -> Response {
    let problem = match late {
        Late::Body => Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "request-timeout",
            "Request timeout",
            "The body did not arrive in time. Send the request again.",
        ),
        Late::Service => Error::unavailable("request timed out", RETRY_AFTER).into(),
    };
    IntoResponse::into_response(problem)
}

/// `Retry-After` of a request that took too long.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Maximum size of `instance`, in bytes. A compressed HTTP/2 request names a path of any length with one
/// byte, and its response must stay small (W2).
const LONGEST_INSTANCE: usize = 1024;

/// Adds the request's path and id to a problem document; a long path is cut. The problem stays in the response's
/// extensions, for the log.
pub(super) fn complete(response: &mut Response, path: &str, id: Option<&RequestId>) {
    let Some(problem) = response.extensions().get::<Problem>() else { return };
    let path = &path[..path.floor_char_boundary(LONGEST_INSTANCE)];
    let mut problem = problem.clone().with_instance(path);
    if let Some(id) = id {
        problem = problem.with_request_id(id.clone());
    }
    *response.body_mut() = Body::from(problem.to_json());
    response.headers_mut().remove(CONTENT_LENGTH);
}
