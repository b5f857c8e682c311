//! Challenges: stored one-time secrets that await their answer, such as a pending sign-in or a link in a
//! message.
//!
//! Every answer runs: find → limits → attempt → comparison in constant time → take → write. The link of a
//! letter with a typed code uses no attempt: strangers know the ids of challenges that they asked for, and
//! would use up those of the letter's reader. Invariants:
//! - a challenge is answered once: of concurrent answers exactly one takes it;
//! - guesses are bounded by the attempts in the challenge itself;
//! - neither the secret of a link nor a typed code is stored, only a hash.

mod code;
mod link;
mod secret;
mod server_keys;

use std::fmt;

use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::id::{ChallengeId, UserId};
use crate::secret::Secret;
use crate::user::Email;

pub use code::TypedCode;
pub use link::LinkToken;
pub(crate) use secret::ChallengeSecret;
pub use server_keys::ServerKeys;

/// How many wrong answers a challenge takes.
pub const ATTEMPTS: u8 = 5;

/// The longest payload, in bytes.
pub const MAX_PAYLOAD: usize = 2048;

/// The purpose of a challenge, which it answers alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Purpose {
    /// A sign-in that waits for a second factor.
    PendingSignIn,
    /// The confirmation of a sign-up.
    SignUp,
    /// The verification of an address.
    VerifyEmail,
    /// The recovery of a password.
    ResetPassword,
    /// A change of an address.
    ChangeEmail,
    /// The way back from a change of an address.
    UndoEmail,
    /// An invitation.
    Invitation,
    /// A sign-in by a code or link.
    EmailSignIn,
}

impl Purpose {
    /// All purposes.
    pub const ALL: [Self; 8] = [
        Self::PendingSignIn,
        Self::SignUp,
        Self::VerifyEmail,
        Self::ResetPassword,
        Self::ChangeEmail,
        Self::UndoEmail,
        Self::Invitation,
        Self::EmailSignIn,
    ];

    /// Returns the name, as in the schema.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PendingSignIn => "pending_sign_in",
            Self::SignUp => "sign_up",
            Self::VerifyEmail => "verify_email",
            Self::ResetPassword => "reset_password",
            Self::ChangeEmail => "change_email",
            Self::UndoEmail => "undo_email",
            Self::Invitation => "invitation",
            Self::EmailSignIn => "email_sign_in",
        }
    }

    /// Parses a name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.as_str() == text)
    }
}

/// The subject of a challenge, by which a store counts the live ones: a user, or an address that may belong
/// to none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject(String);

impl Subject {
    /// A user.
    #[must_use]
    pub fn user(id: UserId) -> Self {
        Self(id.to_string())
    }

    /// An address, known or not, under one key for all of its spellings. Only a hash is kept.
    #[must_use]
    pub fn address(email: &str) -> Self {
        let hash = Sha256::digest(Email::counting_key(email));
        Self(hash.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Returns the text, as in the schema.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The id of a server key, by which the hash of a typed code is made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerKeyId(String);

impl ServerKeyId {
    /// Parses an id: 1–64 characters of `[A-Za-z0-9_-]`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let is_id = (1..=64).contains(&text.len()) && text.bytes().all(is_part);
        is_id.then(|| Self(text.to_owned()))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A stored one-time secret that awaits its answer.
#[derive(Clone)]
pub struct Challenge {
    /// The identifier, which the client sends with its answer.
    pub id: ChallengeId,
    /// What it answers.
    pub purpose: Purpose,
    /// The user; `None` for an address that belongs to none.
    pub user: Option<UserId>,
    /// The user's session epoch when it was made.
    pub epoch: u64,
    /// The SHA-256 of a secret of 256 bits.
    pub link: Option<[u8; 32]>,
    /// The HMAC-SHA-256 of a typed code, and the key under which it was made.
    pub code: Option<(ServerKeyId, [u8; 32])>,
    /// How many more wrong answers it takes.
    pub attempts_left: u8,
    /// The time at which it was made.
    pub made_at: Timestamp,
    /// The time at which it expires.
    pub expires_at: Timestamp,
    /// What the answer needs, at most [`MAX_PAYLOAD`] bytes.
    pub payload: Secret<Vec<u8>>,
}

/// Without the hashes and the payload.
impl fmt::Debug for Challenge {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Challenge");
        debug.field("id", &self.id).field("purpose", &self.purpose).field("user", &self.user);
        debug.field("attempts_left", &self.attempts_left).field("expires_at", &self.expires_at);
        debug.finish_non_exhaustive()
    }
}

impl Challenge {
    /// Whether it has not expired and has attempts left.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        now < self.expires_at && self.attempts_left > 0
    }
}
