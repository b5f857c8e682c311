//! Answers of second factors, and the port to their verification.

use std::fmt;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::UserId;
use crate::proof::Method;
use crate::secret::Secret;

use super::Factors;

/// What a user shows of a second factor.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Answer {
    /// A code of an authenticator app.
    Totp(Secret<String>),
    /// A recovery code.
    RecoveryCode(Secret<String>),
}

impl Answer {
    /// Returns the method by which it answers.
    #[must_use]
    pub const fn method(&self) -> Method {
        match self {
            Self::Totp(_) => Method::Totp,
            Self::RecoveryCode(_) => Method::RecoveryCode,
        }
    }
}

/// The port to the verification of answers.
#[async_trait]
pub(crate) trait AnswerVerifier: fmt::Debug + Send + Sync {
    /// Verifies an answer against the factors of a user, and uses up what answers once. Returns the method
    /// of a right answer.
    async fn verify(
        &self,
        user: UserId,
        factors: &Factors,
        answer: &Answer,
        at: Timestamp,
    ) -> Result<Option<Method>, StoreError>;
}

/// The verifier of a goat without factors: no answer is right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoAnswers;

#[async_trait]
impl AnswerVerifier for NoAnswers {
    async fn verify(
        &self,
        _: UserId,
        _: &Factors,
        _: &Answer,
        _: Timestamp,
    ) -> Result<Option<Method>, StoreError> {
        Ok(None)
    }
}
