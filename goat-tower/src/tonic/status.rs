//! Problems as gRPC statuses.

use ::tonic::metadata::MetadataMap;
use ::tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::response::problem::Problem;

/// The status of the problem, with its sentence as the message; the metadata `retry-after` in seconds,
/// where a retry makes sense; and invalid fields as a `google.rpc.BadRequest` in the details
/// ([richer error model](https://grpc.io/docs/guides/error/)). Internal causes are not included.
///
/// ```
/// use goat_core::{Email, Error};
/// use goat_tower::Problem;
/// use tonic::{Code, Status};
/// use tonic_types::StatusExt as _;
///
/// let error = Email::parse("nowhere").expect_err("no address");
/// let status = Status::from(Problem::from(error));
/// assert_eq!(status.code(), Code::InvalidArgument);
/// let details = status.get_details_bad_request().expect("an invalid field");
/// assert_eq!(details.field_violations[0].field, "email");
/// ```
impl From<Problem> for Status {
    fn from(problem: Problem) -> Self {
        let mut metadata = MetadataMap::new();
        if let Some(seconds) = problem.retry_after_seconds() {
            metadata.insert("retry-after", seconds.into());
        }
        let (code, message) = (Code::from(problem.grpc_status()), problem.detail());
        if problem.violations().is_empty() {
            return Self::with_metadata(code, message, metadata);
        }
        let violation = |violation: &goat_core::Violation| {
            FieldViolation::new(violation.field.as_ref(), violation.message.as_ref())
        };
        let violations: Vec<_> = problem.violations().iter().map(violation).collect();
        let details = ErrorDetails::with_bad_request(violations);
        Self::with_error_details_and_metadata(code, message, details, metadata)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use goat_core::{ErrorKind, Violation};
    use http::StatusCode;

    use super::*;

    #[test]
    fn status_has_code_message_and_wait() {
        let problem =
            Problem::from(ErrorKind::RateLimited).with_retry_after(Duration::from_millis(1500));
        let sentence = problem.detail().to_owned();
        let status = Status::from(problem);
        assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, sentence.as_str()));
        assert_eq!(status.metadata().get("retry-after").expect("a wait"), "2");
        assert!(status.details().is_empty());
        let status = Status::from(Problem::from(ErrorKind::Forbidden));
        assert_eq!(status.code(), Code::PermissionDenied);
        assert!(status.metadata().get("retry-after").is_none());
    }

    #[test]
    fn invalid_fields_are_bad_request_details() {
        let violation = |field: &'static str, message: &'static str| Violation {
            field: field.into(),
            message: message.into(),
        };
        let violations = vec![violation("email", "is no address"), violation("role", "is unknown")];
        let problem = Problem::new(StatusCode::BAD_REQUEST, "validation", "Invalid", "Two fields.");
        let status = Status::from(problem.with_violations(violations));
        assert_eq!(status.code(), Code::InvalidArgument);
        let details = status.get_details_bad_request().expect("details");
        let shown: Vec<_> = details
            .field_violations
            .iter()
            .map(|violation| (violation.field.as_str(), violation.description.as_str()))
            .collect();
        assert_eq!(shown, [("email", "is no address"), ("role", "is unknown")]);
    }
}
