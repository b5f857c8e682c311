//! Pending sign-in: a first proof that waits for a second factor.
//!
//! Invariants:
//! - it is no session, and opens none by itself;
//! - it is bound to the session epoch of its proof, lives ten minutes, and a user has at most five;
//! - it keeps the limits by which its login counted, so that no new login gives guesses back.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::challenge::{ATTEMPTS, Challenge, ChallengeSecret, Purpose, Subject};
use crate::error::{Error, Result};
use crate::factor::{Factors, PendingSignIn};
use crate::id::{ChallengeId, TokenId};
use crate::language::Languages;
use crate::proof::{Methods, Proof};
use crate::secret::Secret;
use crate::session::Origin;

use super::Context;
use super::open_session::DEVICE_LENGTH;

/// How long a pending sign-in can be answered.
const TTL: Duration = Duration::from_secs(600);

/// How many pending sign-ins of a user can be answered; of more, the newest.
const MOST: u32 = 5;

/// The limits by which a login counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum LoginLimits {
    /// None: the application or the operator's system limits the attempts.
    Unlimited,
    /// Those of the account.
    Account,
    /// Those of a device token.
    Device(TokenId),
}

/// What the answer to a pending sign-in needs, as the payload of its challenge.
#[derive(Serialize, Deserialize)]
pub(super) struct Held {
    methods: u16,
    /// The name of the first proof's method.
    pub(super) by: String,
    device: String,
    address: Option<IpAddr>,
    pub(super) limits: LoginLimits,
    /// Whether the login showed no valid device token, where its owner is told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_new_device: bool,
}

impl Held {
    /// Reads the payload of a challenge.
    pub(super) fn parse(challenge: &Challenge) -> Result<Self> {
        serde_json::from_slice(challenge.payload.expose()).map_err(Error::defect)
    }

    /// Returns the methods of the first proof.
    pub(super) fn methods(&self) -> Methods {
        Methods::from_bits(self.methods)
    }

    /// Returns the origin of the login, which is that of the session, with the languages of the answer.
    pub(super) fn origin(self, languages: Languages) -> Origin {
        let device = Some(self.device).filter(|device| !device.is_empty());
        Origin { address: self.address, device, languages }
    }
}

impl Context {
    /// Stores a first proof until a second factor answers, and returns the error that ends the sign-in.
    pub(super) async fn hold_sign_in(
        &self,
        proof: &Proof,
        factors: &Factors,
        origin: &Origin,
        limits: LoginLimits,
        is_new_device: bool,
    ) -> Result<Error> {
        let now = self.time.now();
        let device = origin.device.as_deref().unwrap_or_default();
        let held = Held {
            methods: proof.methods().bits(),
            by: proof.by().as_str().to_owned(),
            device: device.chars().take(DEVICE_LENGTH).collect(),
            address: origin.address,
            limits,
            is_new_device,
        };
        let payload = serde_json::to_vec(&held).map_err(Error::defect)?;
        let secret = ChallengeSecret::generate();
        let challenge = Challenge {
            id: ChallengeId::generate(now),
            purpose: Purpose::PendingSignIn,
            user: Some(proof.user()),
            epoch: proof.epoch(),
            link: Some(secret.hash),
            code: None,
            attempts_left: ATTEMPTS,
            made_at: now,
            expires_at: now + TTL,
            payload: Secret::new(payload),
        };
        self.stores.challenges.put(&challenge, &Subject::user(proof.user()), MOST).await?;
        let (methods, expires_at) = (factors.methods(), challenge.expires_at);
        let pending = PendingSignIn::new(challenge.id, secret.text, methods, expires_at);
        Ok(Error::second_factor_required(pending))
    }
}
