//! Factors: authenticators beside the first proof.

mod answer;
mod pending;

pub use answer::Answer;
pub(crate) use answer::{AnswerVerifier, NoAnswers};
pub use pending::{PendingSignIn, SignInChallenge};

use crate::clock::Timestamp;
use crate::id::{FactorId, UserId};
use crate::proof::Method;

/// The kind of a factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FactorKind {
    /// An authenticator app.
    Totp,
    /// A passkey.
    Passkey,
    /// A security key.
    SecurityKey,
}

impl FactorKind {
    /// Returns the name, as in the API and in the schema.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.method().as_str()
    }

    /// Returns the method by which a factor of this kind answers.
    #[must_use]
    pub const fn method(self) -> Method {
        match self {
            Self::Totp => Method::Totp,
            Self::Passkey => Method::Passkey,
            Self::SecurityKey => Method::SecurityKey,
        }
    }
}

/// A factor of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Factor {
    /// The identifier.
    pub id: FactorId,
    /// The user.
    pub user: UserId,
    /// The kind.
    pub kind: FactorKind,
    /// The user's name for it.
    pub name: String,
    /// The time of its enrolment.
    pub created_at: Timestamp,
    /// The time of its confirmation, from which it is in force.
    pub confirmed_at: Option<Timestamp>,
    /// The time of its last use.
    pub last_used_at: Option<Timestamp>,
}

/// The factors of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Factors {
    /// The factors, confirmed ones first.
    pub factors: Vec<Factor>,
    /// How many recovery codes are left.
    pub recovery_codes: u32,
}

impl Factors {
    /// Whether a factor is in force.
    #[must_use]
    pub fn are_in_force(&self) -> bool {
        self.factors.iter().any(|factor| factor.confirmed_at.is_some())
    }

    /// Returns the methods that can answer a pending sign-in, each once.
    #[must_use]
    pub fn methods(&self) -> Vec<Method> {
        let confirmed = self.factors.iter().filter(|factor| factor.confirmed_at.is_some());
        let mut methods: Vec<Method> = confirmed.map(|factor| factor.kind.method()).collect();
        if !methods.is_empty() && self.recovery_codes > 0 {
            methods.push(Method::RecoveryCode);
        }
        let mut seen = Vec::new();
        methods.retain(|method| {
            !seen.contains(method) && {
                seen.push(*method);
                true
            }
        });
        methods
    }
}
