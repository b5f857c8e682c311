//! What can go wrong: one opaque error for callers, one for stores, and the kinds to tell apart.
//!
//! Kinds are grouped by who can mend it. No driver's type is public, no message carries a secret,
//! an e-mail address or an identifier that the caller typed.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::quota::Charge;

/// A result of goat.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure an [`Error`] is.
///
/// [`ErrorKind::code`] is the stable name that clients, metrics and logs see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    // Who are you? (401)
    /// No credentials were presented.
    Unauthenticated,
    /// The token is not one of goat's, or is not what the place asks for.
    InvalidToken,
    /// The token was good and its time is over.
    TokenExpired,
    /// The session has ended, or its user may not sign in any more.
    SessionRevoked,
    /// A refresh token was used again; its session has been ended.
    TokenReused,
    /// E-mail address and password do not belong together.
    InvalidCredentials,

    // You may not. (403)
    /// A permission is missing.
    Forbidden,
    /// The user to act on is not of a lower rank, or is oneself.
    Outranked,
    /// The role is above what the actor may give.
    RoleNotAssignable,
    /// The current password is wrong.
    WrongPassword,
    /// The account has not been activated.
    AccountInactive,
    /// The account is suspended.
    AccountSuspended,
    /// Nobody can sign up here.
    SignupClosed,

    // Your input. (400)
    /// Something that was given does not follow the rules; see [`Error::violations`].
    Invalid,

    // Not so, as things are. (404, 409)
    /// What was named does not exist, or not for this caller.
    NotFound,
    /// Another user has this e-mail address.
    EmailTaken,
    /// The new password is the old one.
    PasswordUnchanged,
    /// Nobody would be left to administer the system.
    LastAdministrator,
    /// A status does not follow from the present one.
    InvalidTransition,
    /// The role already has this permission.
    PermissionExists,

    // Not now. (429, 503)
    /// A limit is reached; see [`Error::retry_after`] and [`Error::charges`].
    RateLimited,
    /// A store does not answer, or the machine has no capacity; see [`Error::retry_after`].
    Unavailable,

    // Ours. (500, or a start that is refused)
    /// The configuration contradicts itself or the data it finds.
    Configuration,
    /// A defect.
    Internal,
}

impl ErrorKind {
    /// The stable name of this kind, as it stands in problem documents, metrics and logs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::InvalidToken => "invalid-token",
            Self::TokenExpired => "token-expired",
            Self::SessionRevoked => "session-revoked",
            Self::TokenReused => "token-reused",
            Self::InvalidCredentials => "invalid-credentials",
            Self::Forbidden => "forbidden",
            Self::Outranked => "outranked",
            Self::RoleNotAssignable => "role-not-assignable",
            Self::WrongPassword => "wrong-password",
            Self::AccountInactive => "account-inactive",
            Self::AccountSuspended => "account-suspended",
            Self::SignupClosed | Self::NotFound => "not-found",
            Self::Invalid => "validation",
            Self::EmailTaken => "email-taken",
            Self::PasswordUnchanged => "password-unchanged",
            Self::LastAdministrator => "last-administrator",
            Self::InvalidTransition => "invalid-transition",
            Self::PermissionExists => "permission-exists",
            Self::RateLimited => "rate-limited",
            Self::Unavailable => "unavailable",
            Self::Configuration => "configuration",
            Self::Internal => "internal",
        }
    }

    /// What a client is told where no more precise sentence was given: what is wrong and what to do.
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
            Self::InvalidCredentials => {
                "The e-mail address or the password is wrong. Check both and try again."
            }
            Self::Forbidden => {
                "Your role does not have the required permission. Ask an administrator."
            }
            Self::Outranked => "You can manage only users whose role ranks below your own.",
            Self::RoleNotAssignable => {
                "You cannot assign this role. Choose one that ranks below your own."
            }
            Self::WrongPassword => "The current password is wrong. Check it and try again.",
            Self::AccountInactive => {
                "The account is not active yet. Ask an administrator to activate it."
            }
            Self::AccountSuspended => "The account is suspended. Contact an administrator.",
            Self::SignupClosed => "Sign-up is closed. Ask an administrator for an account.",
            Self::Invalid => "The request is invalid. See `errors` for each field.",
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
            Self::RateLimited => "Too many requests. Try again after the time in `Retry-After`.",
            Self::Unavailable => "The service is temporarily unavailable. Try again shortly.",
            Self::Configuration => "The service is misconfigured. Contact its operator.",
            Self::Internal => {
                "An unexpected error occurred. If it happens again, report it with the request id."
            }
        }
    }
}

/// One thing that was given and does not follow the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The name of the field, as the caller knows it.
    pub field: Cow<'static, str>,
    /// What the field must be, to be read after its name.
    pub message: Cow<'static, str>,
}

impl Violation {
    /// Names a field and what it must be.
    pub fn new(field: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// Why goat did not do what it was asked.
///
/// `Display` is for the log. What a client may read is [`Error::client_message`].
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    context: Option<Cow<'static, str>>,
    client_message: Option<Cow<'static, str>>,
    violations: Vec<Violation>,
    retry_after: Option<Duration>,
    charges: Vec<Charge>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// Makes an error of a kind; `context` says for the log what was being done.
    pub(crate) fn new(kind: ErrorKind, context: impl Into<Cow<'static, str>>) -> Self {
        let mut error = Self::from(kind);
        error.0.context = Some(context.into());
        error
    }

    /// Several things in one request that do not follow the rules.
    #[must_use]
    pub fn invalid(violations: Vec<Violation>) -> Self {
        let mut error = Self::from(ErrorKind::Invalid);
        error.0.violations = violations;
        error
    }

    /// A configuration that cannot work; `context` says what and why.
    pub fn configuration(context: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Configuration, context)
    }

    /// Something cannot be had now, and may be again after `retry_after`.
    pub fn unavailable(context: impl Into<Cow<'static, str>>, retry_after: Duration) -> Self {
        let mut error = Self::new(ErrorKind::Unavailable, context);
        error.0.retry_after = Some(retry_after);
        error
    }

    /// Limits that refuse. The wait is the longest of theirs.
    #[must_use]
    pub fn rate_limited(charges: Vec<Charge>) -> Self {
        let mut error = Self::from(ErrorKind::RateLimited);
        error.0.retry_after = charges.iter().filter_map(|charge| charge.retry_after).max();
        error.0.charges = charges;
        error
    }

    /// The same failure, for one more of those who waited for the same. The original lies beneath.
    pub(crate) fn shared(original: &Arc<Self>) -> Self {
        let Inner { kind, context, client_message, violations, retry_after, charges, source: _ } =
            original.0.as_ref();
        Self(Box::new(Inner {
            kind: *kind,
            context: context.clone(),
            client_message: client_message.clone(),
            violations: violations.clone(),
            retry_after: *retry_after,
            charges: charges.clone(),
            source: Some(Box::new(Arc::clone(original))),
        }))
    }

    /// Adds the limits that were charged on the way to this failure.
    #[must_use]
    pub fn with_charges(mut self, charges: impl IntoIterator<Item = Charge>) -> Self {
        self.0.charges.extend(charges);
        self
    }

    /// Adds a sentence for the client in place of the kind's own.
    #[must_use]
    pub fn with_client_message(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.0.client_message = Some(message.into());
        self
    }

    /// Adds what lies beneath, for the log.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The sentence that a client may read.
    #[must_use]
    pub fn client_message(&self) -> &str {
        self.0.client_message.as_deref().unwrap_or(self.0.kind.sentence())
    }

    /// Every thing that does not follow the rules; empty but for [`ErrorKind::Invalid`].
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.0.violations
    }

    /// How long to wait before it is worth trying again, where that is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The limits that were charged, or that refuse.
    #[must_use]
    pub fn charges(&self) -> &[Charge] {
        &self.0.charges
    }

    /// Whether a store or the machine's capacity is at fault, so that trying again may help.
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
            charges: Vec::new(),
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

/// What a client is told to wait when a store does not answer.
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

/// Whose fault a store's failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StoreErrorKind {
    Unavailable,
    Broken,
}

/// Why a store did not do what it was asked. Everything that an implementer of a port returns.
///
/// A refusal that is part of the rules (no such row, address taken) is not an error but an outcome
/// of the port's method.
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    operation: &'static str,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl StoreError {
    /// The store is down, slow, read-only or out of connections: worth another try later.
    #[must_use]
    pub fn unavailable(operation: &'static str) -> Self {
        Self { kind: StoreErrorKind::Unavailable, operation, source: None }
    }

    /// The store answered something that cannot be: a defect, or rows that someone else wrote.
    #[must_use]
    pub fn broken(operation: &'static str) -> Self {
        Self { kind: StoreErrorKind::Broken, operation, source: None }
    }

    /// Adds what lies beneath, for the log.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The call that failed, such as `users.find`.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// Whether another try later is worth it.
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
