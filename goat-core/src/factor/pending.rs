//! Pending sign-in: a first proof that waits for a second factor.

use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind};
use crate::id::ChallengeId;
use crate::proof::Method;
use crate::secret::Secret;

use super::FactorKind;

/// A sign-in that waits for a second factor. It is no session: it opens nothing until it is answered, once,
/// within ten minutes.
#[derive(Clone, Debug)]
pub struct PendingSignIn {
    challenge: ChallengeId,
    secret: Secret<String>,
    methods: Vec<Method>,
    enrol: Vec<FactorKind>,
    expires_at: Timestamp,
}

impl PendingSignIn {
    pub(crate) fn new(
        challenge: ChallengeId,
        secret: Secret<String>,
        methods: Vec<Method>,
        expires_at: Timestamp,
    ) -> Self {
        Self { challenge, secret, methods, enrol: Vec::new(), expires_at }
    }

    /// Returns the challenge that the answer names.
    #[must_use]
    pub fn challenge(&self) -> ChallengeId {
        self.challenge
    }

    /// Returns the secret that the answer shows.
    #[must_use]
    pub fn secret(&self) -> &Secret<String> {
        &self.secret
    }

    /// Returns the methods that can answer.
    #[must_use]
    pub fn methods(&self) -> &[Method] {
        &self.methods
    }

    /// Returns the kinds of factors that the user must enrol first; empty for a user with a factor.
    #[must_use]
    pub fn enrol(&self) -> &[FactorKind] {
        &self.enrol
    }

    /// Returns the time at which it expires.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }
}

/// The challenge of a pending sign-in and its secret, as its client presents them.
#[derive(Clone, Debug)]
pub struct SignInChallenge {
    /// The challenge.
    pub id: ChallengeId,
    /// The secret.
    pub secret: Secret<String>,
}

impl From<&PendingSignIn> for SignInChallenge {
    fn from(pending: &PendingSignIn) -> Self {
        Self { id: pending.challenge, secret: pending.secret.clone() }
    }
}

impl Error {
    /// The error of a right first proof that needs a second factor.
    pub(crate) fn second_factor_required(pending: PendingSignIn) -> Self {
        Self::from(ErrorKind::SecondFactorRequired).with_details(pending)
    }

    /// The sign-in that waits for a second factor; `None` except for
    /// [`ErrorKind::SecondFactorRequired`].
    #[must_use]
    pub fn pending(&self) -> Option<&PendingSignIn> {
        self.details()
    }
}
