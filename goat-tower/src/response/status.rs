//! The table from error kind to HTTP status, code and challenge.
//!
//! 401 (unauthenticated), 403 (forbidden) and 503 (cannot decide now) are never mixed up.

use goat_core::ErrorKind;
use http::StatusCode;

/// The content of `WWW-Authenticate` (RFC 6750 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// No challenge: signing in again would not help.
    None,
    /// The request carries no token; the challenge has no error.
    SignIn,
    /// The token is invalid.
    InvalidToken,
    /// The token is valid, its permissions do not suffice.
    InsufficientScope,
    /// The token is valid, its session lacks a proof (RFC 9470 §3).
    InsufficientAuthentication,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct StatusEntry {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) title: &'static str,
    pub(super) challenge: Challenge,
}

/// Returns the row of an error kind. An unlisted kind is a defect of goat: 500.
pub(super) const fn status_entry(kind: ErrorKind) -> StatusEntry {
    use Challenge::{InsufficientAuthentication, InsufficientScope, InvalidToken, None, SignIn};
    use ErrorKind as Kind;

    let (status, title, challenge) = match kind {
        Kind::Unauthenticated => (StatusCode::UNAUTHORIZED, "Authentication required", SignIn),
        Kind::InvalidCredentials => (StatusCode::UNAUTHORIZED, "Invalid credentials", SignIn),
        Kind::InvalidToken => (StatusCode::UNAUTHORIZED, "Invalid token", InvalidToken),
        Kind::TokenExpired => (StatusCode::UNAUTHORIZED, "Token expired", InvalidToken),
        Kind::SessionRevoked => (StatusCode::UNAUTHORIZED, "Session ended", InvalidToken),
        Kind::TokenReused => (StatusCode::UNAUTHORIZED, "Refresh token reused", InvalidToken),

        Kind::SecondFactorRequired => (StatusCode::UNAUTHORIZED, "Second factor required", SignIn),
        Kind::StepUpRequired => {
            (StatusCode::UNAUTHORIZED, "Step-up required", InsufficientAuthentication)
        }

        Kind::Forbidden => (StatusCode::FORBIDDEN, "Missing permission", InsufficientScope),
        Kind::SessionRequired => (StatusCode::FORBIDDEN, "Session required", None),
        Kind::Outranked => (StatusCode::FORBIDDEN, "Not allowed for this user", None),
        Kind::RoleNotAssignable => (StatusCode::FORBIDDEN, "Role not assignable", None),
        Kind::WrongCode => (StatusCode::FORBIDDEN, "Wrong code", None),
        Kind::WrongPassword => (StatusCode::FORBIDDEN, "Wrong password", None),
        Kind::AccountInactive => (StatusCode::FORBIDDEN, "Account inactive", None),
        Kind::AccountSuspended => (StatusCode::FORBIDDEN, "Account suspended", None),

        Kind::Invalid => (StatusCode::BAD_REQUEST, "Invalid request", None),
        Kind::InvalidChallenge => (StatusCode::BAD_REQUEST, "Invalid challenge", None),
        Kind::NotFound | Kind::SignupClosed => (StatusCode::NOT_FOUND, "Not found", None),
        Kind::EmailTaken => (StatusCode::CONFLICT, "E-mail address in use", None),
        Kind::PasswordUnchanged => (StatusCode::CONFLICT, "Password unchanged", None),
        Kind::LastAdministrator => (StatusCode::CONFLICT, "Last administrator", None),
        Kind::InvalidTransition => (StatusCode::CONFLICT, "Invalid status transition", None),
        Kind::PermissionExists => (StatusCode::CONFLICT, "Permission exists", None),
        Kind::RoleExists => (StatusCode::CONFLICT, "Role exists", None),
        Kind::RoleInUse => (StatusCode::CONFLICT, "Role in use", None),
        Kind::RoleProtected => (StatusCode::CONFLICT, "Role protected", None),
        Kind::TooMany => (StatusCode::CONFLICT, "Too many", None),

        Kind::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "Too many requests", None),
        Kind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "Service unavailable", None),

        // Configuration errors are for the log only.
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "Internal server error", None),
    };
    let code = match status {
        StatusCode::INTERNAL_SERVER_ERROR => ErrorKind::Internal.code(),
        _ => kind.code(),
    };
    StatusEntry { status, code, title, challenge }
}
