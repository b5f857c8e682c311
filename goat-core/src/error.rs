//! Errors: one opaque error for callers, one for stores, and their kinds.
//!
//! Kinds are grouped by the party at fault. No driver type is public, and no message contains a
//! secret, an e-mail address or an identifier from the caller's input.

use std::any::Any;
use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::quota::Decision;

/// Result with goat's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kind of an [`Error`].
///
/// [`ErrorKind::code`] is the stable name in responses, metrics and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    // Unauthenticated (401)
    /// No credentials were presented.
    Unauthenticated,
    /// The token was not issued by goat, or is of the wrong type for this use.
    InvalidToken,
    /// The token is genuine but expired.
    TokenExpired,
    /// The session has ended, or its user may no longer sign in.
    SessionRevoked,
    /// A refresh token was reused; its session has been ended.
    TokenReused,
    /// The session was not proven recently enough, or not by several factors; see
    /// [`Error::required_proof`].
    StepUpRequired,
    /// E-mail address and password do not match.
    InvalidCredentials,
    /// The first proof is right, and a second factor is required; see [`Error::pending`].
    SecondFactorRequired,

    // Forbidden (403)
    /// A permission is missing.
    Forbidden,
    /// An API key asks for an operation that only a session performs.
    SessionRequired,
    /// The target user does not have a lower rank, has a permission that the actor lacks, or is the
    /// actor.
    Outranked,
    /// The role does not rank below the actor's, or has a permission that the actor lacks.
    RoleNotAssignable,
    /// The current password is incorrect.
    WrongPassword,
    /// The code of a second factor is incorrect, in a session.
    WrongCode,
    /// The account has not been activated.
    AccountInactive,
    /// The account is suspended.
    AccountSuspended,
    /// Open sign-up is disabled.
    SignupClosed,

    // Invalid input (400)
    /// The input violates a rule; see [`Error::violations`].
    Invalid,
    /// The answer to a challenge is wrong; or the challenge is unknown, used, expired or for another purpose.
    InvalidChallenge,

    // Conflicts with the current state (404, 409)
    /// The resource does not exist, or is not visible to the caller.
    NotFound,
    /// Another user has this e-mail address.
    EmailTaken,
    /// The new password equals the old one.
    PasswordUnchanged,
    /// The last active administrator would be lost.
    LastAdministrator,
    /// The status cannot change this way.
    InvalidTransition,
    /// The role already has this permission.
    PermissionExists,
    /// There is a role of this name.
    RoleExists,
    /// Users have the role; see [`Error::users`].
    RoleInUse,
    /// The role is the highest one, or the one given at sign-up.
    RoleProtected,
    /// There are as many as there may be.
    TooMany,

    // Retry later (429, 503)
    /// A rate limit is exceeded; see [`Error::retry_after`] and [`Error::decisions`].
    RateLimited,
    /// A store is down, or capacity is exhausted; see [`Error::retry_after`].
    Unavailable,

    // Server errors (500, or a refused start)
    /// The configuration contradicts itself or the stored data.
    Configuration,
    /// A defect.
    Internal,
}

impl ErrorKind {
    /// The stable name of this kind, as used in problem documents, metrics and logs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::InvalidToken => "invalid-token",
            Self::TokenExpired => "token-expired",
            Self::SessionRevoked => "session-revoked",
            Self::TokenReused => "token-reused",
            Self::StepUpRequired => "step-up-required",
            Self::InvalidCredentials => "invalid-credentials",
            Self::SecondFactorRequired => "second-factor-required",
            Self::Forbidden => "forbidden",
            Self::SessionRequired => "session-required",
            Self::Outranked => "outranked",
            Self::RoleNotAssignable => "role-not-assignable",
            Self::WrongPassword => "wrong-password",
            Self::WrongCode => "wrong-code",
            Self::AccountInactive => "account-inactive",
            Self::AccountSuspended => "account-suspended",
            Self::SignupClosed | Self::NotFound => "not-found",
            Self::Invalid => "validation",
            Self::InvalidChallenge => "invalid-challenge",
            Self::EmailTaken => "email-taken",
            Self::PasswordUnchanged => "password-unchanged",
            Self::LastAdministrator => "last-administrator",
            Self::InvalidTransition => "invalid-transition",
            Self::PermissionExists => "permission-exists",
            Self::RoleExists => "role-exists",
            Self::RoleInUse => "role-in-use",
            Self::RoleProtected => "role-protected",
            Self::TooMany => "too-many",
            Self::RateLimited => "rate-limited",
            Self::Unavailable => "unavailable",
            Self::Configuration => "configuration",
            Self::Internal => "internal",
        }
    }

    /// The default sentence for clients: the problem and the remedy.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Unauthenticated => {
                "Authentication is required. Sign in and send the access token."
            }
            Self::InvalidToken => "The token is invalid. Sign in again.",
            Self::TokenExpired => "The token has expired. Refresh the session or sign in again.",
            Self::SessionRevoked => "The session has ended. Sign in again.",
            Self::TokenReused => {
                "This refresh token was already used, so the session has been ended. Sign in again."
            }
            Self::StepUpRequired => {
                "This needs a recent authentication, or one by several factors. Authenticate again and retry."
            }
            Self::InvalidCredentials => {
                "The e-mail address or the password is wrong. Check both and try again."
            }
            Self::SecondFactorRequired => {
                "A second factor is required. Confirm the sign-in with one of `methods`."
            }
            Self::Forbidden => {
                "Your role, or your API key, does not have the required permission. Ask an administrator."
            }
            Self::SessionRequired => {
                "An API key cannot do this. Sign in, and repeat the request with the access token of your session."
            }
            Self::Outranked => {
                "You can manage only users whose role ranks below your own and has no permission that yours lacks."
            }
            Self::RoleNotAssignable => {
                "You cannot assign this role. Choose one that ranks below your own and has no permission that yours lacks."
            }
            Self::WrongPassword => "The current password is wrong. Check it and try again.",
            Self::WrongCode => "The code is wrong. Check it and try again.",
            Self::AccountInactive => {
                "The account is not active yet. Ask an administrator to activate it."
            }
            Self::AccountSuspended => "The account is suspended. Contact an administrator.",
            Self::SignupClosed => "Sign-up is closed. Ask an administrator for an account.",
            Self::Invalid => "The request is invalid. See `errors` for each field.",
            Self::InvalidChallenge => {
                "The code or link is wrong, or no longer valid. Check it, or start again."
            }
            Self::NotFound => "The requested resource does not exist. Check its id or name.",
            Self::EmailTaken => "Another account uses this e-mail address. Choose a different one.",
            Self::PasswordUnchanged => {
                "The new password is the same as the current one. Choose a different one."
            }
            Self::LastAdministrator => {
                "This would leave no active administrator. Make another user an administrator first."
            }
            Self::InvalidTransition => {
                "The status cannot change this way. Activate an inactive or suspended user, or suspend an active one."
            }
            Self::PermissionExists => "The role already has this permission.",
            Self::RoleExists => "A role of this name exists. Choose a different name.",
            Self::RoleInUse => "Users have this role. Give them another role first.",
            Self::RoleProtected => {
                "The highest role and the role given at sign-up cannot be changed this way."
            }
            Self::TooMany => "There are too many already. Delete one first.",
            Self::RateLimited => "Too many requests. Try again after the time in `Retry-After`.",
            Self::Unavailable => "The service is temporarily unavailable. Try again shortly.",
            Self::Configuration => "The service is misconfigured. Contact its operator.",
            Self::Internal => {
                "An unexpected error occurred. If it happens again, report it with the request id."
            }
        }
    }
}

/// The proof that a session lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequiredProof {
    /// The greatest age of the last proof, if it matters.
    pub max_age: Option<Duration>,
    /// Whether the proof must be of several factors.
    pub multi: bool,
}

/// One field of the input that violates a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The name of the field, as in the caller's API.
    pub field: Cow<'static, str>,
    /// The rule, phrased to follow the field's name.
    pub message: Cow<'static, str>,
}

impl Violation {
    /// Creates a violation of a field.
    pub fn new(field: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// The error of all operations of goat.
///
/// `Display` is for logs. The text for clients is [`Error::client_message`].
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    context: Option<Cow<'static, str>>,
    client_message: Option<Cow<'static, str>>,
    violations: Vec<Violation>,
    retry_after: Option<Duration>,
    users: Option<u64>,
    required_proof: Option<RequiredProof>,
    /// What another module adds, by its type.
    details: Option<Arc<dyn Any + Send + Sync>>,
    decisions: Vec<Decision>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// Creates an error; `context` names the failed operation, for the log.
    pub(crate) fn new(kind: ErrorKind, context: impl Into<Cow<'static, str>>) -> Self {
        let mut error = Self::from(kind);
        error.0.context = Some(context.into());
        error
    }

    /// Invalid input, with every violation in it.
    #[must_use]
    pub fn invalid(violations: Vec<Violation>) -> Self {
        let mut error = Self::from(ErrorKind::Invalid);
        error.0.violations = violations;
        error
    }

    /// A role that this many users have.
    pub(crate) fn role_in_use(users: u64) -> Self {
        let mut error = Self::from(ErrorKind::RoleInUse);
        error.0.users = Some(users);
        error
    }

    /// A session that lacks a proof.
    #[must_use]
    pub fn step_up_required(proof: RequiredProof) -> Self {
        let mut error = Self::from(ErrorKind::StepUpRequired);
        error.0.required_proof = Some(proof);
        error
    }

    /// An invalid configuration; `context` says why.
    pub fn configuration(context: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Configuration, context)
    }

    /// A temporary failure that is worth a retry after `retry_after`.
    pub fn unavailable(context: impl Into<Cow<'static, str>>, retry_after: Duration) -> Self {
        let mut error = Self::new(ErrorKind::Unavailable, context);
        error.0.retry_after = Some(retry_after);
        error
    }

    /// A rate-limited request. The longest wait of the decisions counts.
    #[must_use]
    pub fn rate_limited(decisions: Vec<Decision>) -> Self {
        let mut error = Self::from(ErrorKind::RateLimited);
        error.0.retry_after = decisions.iter().filter_map(|decision| decision.retry_after).max();
        error.0.decisions = decisions;
        error
    }

    /// A copy for another caller of a shared operation, with the original as its source.
    pub(crate) fn shared(original: &Arc<Self>) -> Self {
        let Inner {
            kind,
            context,
            client_message,
            violations,
            retry_after,
            users,
            required_proof,
            details,
            decisions,
            source: _,
        } = original.0.as_ref();
        Self(Box::new(Inner {
            kind: *kind,
            context: context.clone(),
            client_message: client_message.clone(),
            violations: violations.clone(),
            retry_after: *retry_after,
            users: *users,
            required_proof: *required_proof,
            details: details.clone(),
            decisions: decisions.clone(),
            source: Some(Box::new(Arc::clone(original))),
        }))
    }

    /// Adds the rate-limit decisions made before this failure.
    #[must_use]
    pub fn with_decisions(mut self, decisions: impl IntoIterator<Item = Decision>) -> Self {
        self.0.decisions.splice(0..0, decisions);
        self
    }

    /// A defect: what goat itself wrote cannot be read.
    pub(crate) fn defect(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::from(ErrorKind::Internal).with_source(source)
    }

    /// Adds a value that a caller reads by its type.
    pub(crate) fn with_details<T: Any + Send + Sync>(mut self, details: T) -> Self {
        self.0.details = Some(Arc::new(details));
        self
    }

    /// Returns the value of this type, if the error has one.
    pub(crate) fn details<T: Any>(&self) -> Option<&T> {
        self.0.details.as_ref()?.downcast_ref()
    }

    /// Sets a sentence for the client in place of the kind's default.
    #[must_use]
    pub fn with_client_message(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.0.client_message = Some(message.into());
        self
    }

    /// Adds the cause, for the log.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The kind of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The sentence for the client.
    #[must_use]
    pub fn client_message(&self) -> &str {
        self.0.client_message.as_deref().unwrap_or(self.0.kind.sentence())
    }

    /// The violations of the input; empty except for [`ErrorKind::Invalid`].
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.0.violations
    }

    /// How long to wait before a retry, if known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The number of users in the role, exact up to [`PAGE_REACH`](crate::PAGE_REACH); `None` except
    /// for [`ErrorKind::RoleInUse`].
    #[must_use]
    pub fn users(&self) -> Option<u64> {
        self.0.users
    }

    /// The proof that the session lacks; `None` except for [`ErrorKind::StepUpRequired`].
    #[must_use]
    pub fn required_proof(&self) -> Option<RequiredProof> {
        self.0.required_proof
    }

    /// The rate-limit decisions made for this request, limited or not.
    #[must_use]
    pub fn decisions(&self) -> &[Decision] {
        &self.0.decisions
    }

    /// Whether a store is down or capacity exhausted, so that a retry may succeed.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        self.0.kind == ErrorKind::Unavailable
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self(Box::new(Inner {
            kind,
            context: None,
            client_message: None,
            violations: Vec::new(),
            retry_after: None,
            users: None,
            required_proof: None,
            details: None,
            decisions: Vec::new(),
            source: None,
        }))
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let wrapped = match error.kind {
            StoreErrorKind::Unavailable => Self::unavailable(error.operation, RETRY_STORE_AFTER),
            StoreErrorKind::Broken => Self::new(ErrorKind::Internal, error.operation),
        };
        wrapped.with_source(error)
    }
}

/// `Retry-After` for clients when a store is unavailable.
const RETRY_STORE_AFTER: Duration = Duration::from_secs(1);

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.kind.code())?;
        if let Some(context) = &self.0.context {
            write!(formatter, ": {context}")?;
        }
        for violation in &self.0.violations {
            write!(formatter, "; {} {}", violation.field, violation.message)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Error({self}")?;
        if let Some(source) = &self.0.source {
            write!(formatter, ", caused by {source:?}")?;
        }
        formatter.write_str(")")
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// Classes of store failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StoreErrorKind {
    Unavailable,
    Broken,
}

/// The error of a port's operations, made by its implementation.
///
/// An outcome that the rules provide for (no such row, address taken) is not an error but a value
/// of the port's method.
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    operation: &'static str,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl StoreError {
    /// The store is down, slow, read-only or out of connections: a retry may succeed.
    #[must_use]
    pub fn unavailable(operation: &'static str) -> Self {
        Self { kind: StoreErrorKind::Unavailable, operation, source: None }
    }

    /// The store returned invalid data: a defect, or rows that goat did not write.
    #[must_use]
    pub fn broken(operation: &'static str) -> Self {
        Self { kind: StoreErrorKind::Broken, operation, source: None }
    }

    /// A copy for another caller of a shared read, with the original as its source.
    pub(crate) fn shared(original: &Arc<Self>) -> Self {
        let Self { kind, operation, source: _ } = **original;
        Self { kind, operation, source: Some(Box::new(Arc::clone(original))) }
    }

    /// Adds the cause, for the log.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The failed operation, such as `users.find`.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// Whether a retry may succeed.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        self.kind == StoreErrorKind::Unavailable
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.kind {
            StoreErrorKind::Unavailable => "unavailable",
            StoreErrorKind::Broken => "broken",
        };
        write!(formatter, "store {state} in {}", self.operation)
    }
}

impl StdError for StoreError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
