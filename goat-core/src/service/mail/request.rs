//! Requests for a letter, by an address that may belong to no account.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::Instrument as _;

use crate::challenge::{
    ATTEMPTS, Challenge, ChallengeSecret, LinkToken, Purpose, Subject, TypedCode,
};
use crate::clock::Timestamp;
use crate::courier::{Letter, Message, OneTimeSecret, Permit};
use crate::error::{Error, Result};
use crate::event::EventActor;
use crate::id::{ChallengeId, UserId};
use crate::language::Languages;
use crate::secret::Secret;
use crate::session::Origin;
use crate::user::{Account, Email};

use super::super::Context;

/// How many challenges of one subject can be answered; of more, the newest.
pub(super) const LIVE: u32 = 3;

/// A letter was asked for: the same for known and unknown addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChallengeSent {
    /// The challenge, for a typed code: [`MailAnswer::code`](super::MailAnswer::code).
    pub challenge: ChallengeId,
    /// The time at which its letter expires.
    pub expires_at: Timestamp,
}

impl ChallengeSent {
    pub(super) fn of(challenge: &Challenge) -> Self {
        Self { challenge: challenge.id, expires_at: challenge.expires_at }
    }
}

/// A challenge to be stored, and the secret that answers it.
pub(super) struct NewChallenge {
    pub(super) challenge: Challenge,
    pub(super) secret: OneTimeSecret,
}

/// The user of a challenge, and the user's session epoch.
pub(super) type Owner = Option<(UserId, u64)>;

pub(super) fn owner_of(account: &Account) -> Owner {
    Some((account.user.id, account.epoch.number))
}

/// A request by an address.
pub(super) struct ByAddress {
    pub(super) purpose: Purpose,
    pub(super) email: Email,
    pub(super) ttl: Duration,
}

impl Context {
    /// Makes a challenge with the secret of a link, and a typed code if its purpose has one.
    pub(super) fn new_challenge(
        &self,
        purpose: Purpose,
        owner: Owner,
        ttl: Duration,
        held: &impl Serialize,
    ) -> Result<NewChallenge> {
        let made_at = self.time.now();
        let (id, expires_at) = (ChallengeId::generate(made_at), made_at + ttl);
        let link = ChallengeSecret::generate();
        let has_code = !matches!(purpose, Purpose::Invitation | Purpose::UndoEmail);
        let code = has_code.then(TypedCode::generate);
        let keys = &self.mail()?.keys;
        let challenge = Challenge {
            id,
            purpose,
            user: owner.map(|(user, _)| user),
            epoch: owner.map(|(_, epoch)| epoch).unwrap_or_default(),
            link: Some(link.hash),
            code: code.as_ref().map(|code| keys.hash(id, purpose, code)),
            attempts_left: ATTEMPTS,
            made_at,
            expires_at,
            payload: Secret::new(serde_json::to_vec(held).map_err(Error::defect)?),
        };
        let secret = OneTimeSecret::new(LinkToken::new(id, &link), code, expires_at);
        Ok(NewChallenge { challenge, secret })
    }

    /// Reads the payload of a challenge.
    pub(super) fn held<T: DeserializeOwned>(challenge: &Challenge) -> Result<T> {
        serde_json::from_slice(challenge.payload.expose()).map_err(Error::defect)
    }

    /// Counts a letter against the limit of its recipient.
    pub(super) async fn acquire_letter(
        &self,
        to: &Email,
        actor: &EventActor,
        address: Option<IpAddr>,
    ) -> Result<()> {
        let acquired = self.credential_limits.acquire_letter(to.canonical()).await;
        self.note_limits(acquired, actor, address)
    }

    /// Stores a challenge for an address and has its letter chosen on a task, whether or not the address
    /// belongs to an account. `write` chooses the letter; without one, none is sent.
    ///
    /// TIMING: one read and one write for every address. The letter, and what it needs, come after the
    /// response.
    pub(super) async fn request_by_address<F>(
        self: &Arc<Self>,
        request: ByAddress,
        origin: &Origin,
        write: impl FnOnce(Arc<Self>, Option<Account>, OneTimeSecret) -> F + Send + 'static,
    ) -> Result<ChallengeSent>
    where
        F: Future<Output = Result<Option<Message>>> + Send + 'static,
    {
        let ByAddress { purpose, email, ttl } = request;
        let permit = self.mail()?.reserve()?;
        self.acquire_letter(&email, &EventActor::Anonymous, origin.address).await?;
        let account = self.stores.users.by_email(email.canonical()).await?;
        let owner = account.as_ref().and_then(owner_of);
        let new = self.new_challenge(purpose, owner, ttl, &AddressHeld::of(&email))?;
        self.stores.challenges.put(&new.challenge, &Subject::address(email.as_str()), LIVE).await?;
        let NewChallenge { challenge, secret } = new;
        let to = account.as_ref().map_or(email, |account| account.user.email.clone());
        let writing = write(Arc::clone(self), account, secret);
        send_later(permit, to, origin.languages.clone(), writing);
        Ok(ChallengeSent::of(&challenge))
    }
}

/// Sends a letter in its place once it is chosen.
fn send_later(
    permit: Permit,
    to: Email,
    languages: Languages,
    writing: impl Future<Output = Result<Option<Message>>> + Send + 'static,
) {
    let task = async move {
        match writing.await {
            Ok(Some(message)) => permit.send(Letter::new(to, languages, message)),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "letter not sent: a store failed"),
        }
    };
    drop(tokio::spawn(task.in_current_span()));
}

/// The payload of a challenge of an address.
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct AddressHeld {
    pub(super) email: String,
    /// Whether a second factor was shown before, which the answer then does not need.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) has_shown_factor: bool,
}

impl AddressHeld {
    pub(super) fn of(email: &Email) -> Self {
        Self { email: email.as_str().to_owned(), has_shown_factor: false }
    }

    /// Returns the address.
    pub(super) fn email(&self) -> Result<Email> {
        Email::parse(&self.email).map_err(Error::defect)
    }
}
