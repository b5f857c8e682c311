//! Letters: a reader, languages, and a message of values without text.

use std::fmt;
use std::net::IpAddr;

use crate::challenge::{LinkToken, TypedCode};
use crate::clock::Timestamp;
use crate::factor::FactorKind;
use crate::language::Languages;
use crate::user::Email;

/// A letter to be rendered and delivered.
#[derive(Clone)]
#[non_exhaustive]
pub struct Letter {
    /// The address of the reader.
    pub to: Email,
    /// The languages that the request preferred; empty if it is not known.
    pub languages: Languages,
    /// What the letter says.
    pub message: Message,
}

impl Letter {
    /// Creates a letter, for tests of a courier.
    #[must_use]
    pub fn new(to: Email, languages: Languages, message: Message) -> Self {
        Self { to, languages, message }
    }
}

/// Without the address.
impl fmt::Debug for Letter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Letter");
        debug.field("languages", &self.languages).field("message", &self.message);
        debug.finish_non_exhaustive()
    }
}

/// What answers a challenge: the token of a link and, for most messages, a code to be typed. Either works once.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OneTimeSecret {
    /// The token for the link. It goes behind the `#` of the link's address, so that neither a server nor a
    /// `Referer` header sees it, and only a POST of the page behind the link uses it.
    pub link: LinkToken,
    /// The code to be typed, which works only where the message was asked for. Put the link first: a page
    /// that imitates the application can relay a code.
    pub code: Option<TypedCode>,
    /// The time at which both expire.
    pub expires_at: Timestamp,
}

impl OneTimeSecret {
    pub(crate) fn new(link: LinkToken, code: Option<TypedCode>, expires_at: Timestamp) -> Self {
        Self { link, code, expires_at }
    }
}

/// A message: its kind and values, without text.
///
/// Device names, key names and addresses come from clients: a courier escapes them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Message {
    /// Confirms a sign-up, with a password of the reader's choice.
    ConfirmSignUp(OneTimeSecret),
    /// The address of a sign-up, or of a changed address, has an account already.
    AccountExists,
    /// Verifies the address of an account.
    VerifyEmail(OneTimeSecret),
    /// Sets a new password in place of a forgotten one.
    ResetPassword {
        /// The answer.
        secret: OneTimeSecret,
        /// Whether the answer needs a recovery code too.
        needs_recovery_code: bool,
    },
    /// The account of the address cannot be recovered: it is inactive or suspended.
    NothingToReset,
    /// Confirms a new address of an account. The old one is not named.
    ConfirmNewEmail(OneTimeSecret),
    /// The address of the account was changed to another one: to the old address.
    EmailChanged {
        /// Takes the change back, if the old address was verified.
        undo: Option<OneTimeSecret>,
        /// When it was changed.
        at: Timestamp,
    },
    /// The password of the account was changed.
    PasswordChanged {
        /// When it was changed.
        at: Timestamp,
        /// The second factors of the account, which stay.
        factors: Vec<FactorKind>,
        /// The number of its API keys, which stay.
        keys: u64,
    },
    /// An API key of the account was created.
    KeyCreated {
        /// The name of the key.
        name: String,
        /// When it was created.
        at: Timestamp,
    },
    /// A sign-in showed the right password and a wrong second factor.
    SecondFactorFailed {
        /// When it was shown.
        at: Timestamp,
        /// The client's address, if known.
        address: Option<IpAddr>,
    },
    /// A sign-in from a device that showed no valid device token.
    NewDevice {
        /// When the user signed in.
        at: Timestamp,
        /// The client software, such as the `User-Agent`; empty if unknown.
        device: String,
        /// The client's address, if known.
        address: Option<IpAddr>,
    },
    /// Signs the reader in.
    SignInCode(OneTimeSecret),
    /// Accepts an invitation, with a password of the reader's choice.
    Invitation(OneTimeSecret),
}

impl Message {
    /// The names of all kinds, as [`Message::name`] returns them.
    pub const NAMES: [&'static str; 13] = [
        "confirm-sign-up",
        "account-exists",
        "verify-email",
        "reset-password",
        "nothing-to-reset",
        "confirm-new-email",
        "email-changed",
        "password-changed",
        "key-created",
        "second-factor-failed",
        "new-device",
        "sign-in-code",
        "invitation",
    ];

    /// Returns a stable name of the kind, for templates, labels and logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ConfirmSignUp(_) => "confirm-sign-up",
            Self::AccountExists => "account-exists",
            Self::VerifyEmail(_) => "verify-email",
            Self::ResetPassword { .. } => "reset-password",
            Self::NothingToReset => "nothing-to-reset",
            Self::ConfirmNewEmail(_) => "confirm-new-email",
            Self::EmailChanged { .. } => "email-changed",
            Self::PasswordChanged { .. } => "password-changed",
            Self::KeyCreated { .. } => "key-created",
            Self::SecondFactorFailed { .. } => "second-factor-failed",
            Self::NewDevice { .. } => "new-device",
            Self::SignInCode(_) => "sign-in-code",
            Self::Invitation(_) => "invitation",
        }
    }

    /// Returns the secret that answers the message, if it has one.
    #[must_use]
    pub const fn secret(&self) -> Option<&OneTimeSecret> {
        match self {
            Self::ConfirmSignUp(secret)
            | Self::VerifyEmail(secret)
            | Self::ResetPassword { secret, .. }
            | Self::ConfirmNewEmail(secret)
            | Self::SignInCode(secret)
            | Self::Invitation(secret) => Some(secret),
            Self::EmailChanged { undo, .. } => undo.as_ref(),
            Self::AccountExists
            | Self::NothingToReset
            | Self::PasswordChanged { .. }
            | Self::KeyCreated { .. }
            | Self::SecondFactorFailed { .. }
            | Self::NewDevice { .. } => None,
        }
    }
}
