//! Mail: the flows in which the answer to a letter proves control of an address.
//!
//! A request reserves a place for its letter, counts against the limit of the recipient, reads the account of
//! the address and stores a challenge; only then, on a task of its own, goat chooses the letter. Invariants:
//! - a request answers alike for known and unknown addresses, after the same work;
//! - a letter goes to the stored address of an account, never to another spelling that the client typed;
//! - an answer runs: find → policy → limits → attempt → comparison in constant time → hash → take → write;
//! - a change that a letter confirms is made for the address and the epoch of the letter alone.

mod answer;
mod change_email;
mod invitation;
mod notices;
mod recovery;
mod request;
mod sign_in;
mod sign_up;
mod undo_email;
mod verify_email;

use std::sync::Arc;
use std::time::Duration;

use crate::challenge::ServerKeys;
use crate::courier::{Courier, Permit, QueueFull};
use crate::error::{Error, ErrorKind, Result};
use crate::settings::{Settings, Signup};

use super::Context;

pub use answer::MailAnswer;
pub use recovery::Recovered;
pub use request::ChallengeSent;
pub use undo_email::UndoEmail;

/// `Retry-After` when the queue of letters is full.
const FULL_RETRY: Duration = Duration::from_secs(30);

/// The courier, and the keys under which typed codes are stored.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    courier: Arc<dyn Courier>,
    keys: ServerKeys,
}

impl Mail {
    /// Checks the parts that letters need, and the settings that need letters.
    pub(crate) fn new(
        courier: Option<Arc<dyn Courier>>,
        keys: Option<ServerKeys>,
        settings: &Settings,
    ) -> Result<Option<Self>> {
        match (courier, keys) {
            (Some(courier), Some(keys)) => Ok(Some(Self { courier, keys })),
            (Some(_), None) => Err(Error::configuration("a courier needs server keys")),
            (None, _) if settings.signup == Signup::Confirmed => {
                Err(Error::configuration("confirmed sign-up needs a courier"))
            }
            (None, _) if settings.email_sign_in => {
                Err(Error::configuration("sign-in by e-mail needs a courier"))
            }
            (None, _) => Ok(None),
        }
    }

    /// Reserves a place for a letter that a request causes.
    fn reserve(&self) -> Result<Permit> {
        self.courier.reserve().map_err(full)
    }

    /// Reserves a place for a notice.
    fn reserve_notice(&self) -> Result<Permit> {
        self.courier.reserve_notice().map_err(full)
    }
}

fn full(error: QueueFull) -> Error {
    let context = "letters: the queue is full";
    Error::unavailable(context, FULL_RETRY).with_source(error)
}

impl Context {
    /// Returns the parts that letters need.
    fn mail(&self) -> Result<&Mail> {
        let missing = || Error::new(ErrorKind::NotFound, "no courier is configured");
        self.mail.as_ref().ok_or_else(missing)
    }
}
