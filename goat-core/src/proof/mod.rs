//! Sign-in proofs: evidence, inside the process, that a user authenticated.
//!
//! Invariants:
//! - only the makers here create a [`Proof`], each for a flow that has checked the evidence;
//! - a proof opens one session, or none: it is not `Clone`, and the flow that opens sessions consumes it.

mod method;
mod recency;

use crate::clock::Timestamp;
use crate::id::UserId;

pub use method::{Assurance, Method, MethodName, Methods};
pub(crate) use recency::ProofTimes;

/// Evidence that a user authenticated: by which methods, and when.
///
/// Only a proof opens a session, within ten minutes. It is bound to the user's session epoch, so it opens
/// nothing after a suspension, a new password or the end of all sessions. Not `Clone`:
///
/// ```compile_fail,E0382
/// use goat_core::auth::Proof;
/// use goat_core::{Goat, Result};
///
/// async fn twice(goat: Goat, proof: Proof) -> Result<()> {
///     goat.open_session(proof, Default::default()).await?;
///     goat.open_session(proof, Default::default()).await?; // `proof` was used
///     Ok(())
/// }
/// ```
#[derive(Debug)]
#[must_use = "a proof opens a session only by `Goat::open_session`"]
pub struct Proof {
    user: UserId,
    /// The user's session epoch at the time of the proof.
    epoch: u64,
    methods: Methods,
    multi: bool,
    by: MethodName,
    at: Timestamp,
}

impl Proof {
    /// The password flow: the user's password was verified.
    pub(crate) fn by_password(user: UserId, epoch: u64, at: Timestamp) -> Self {
        let (method, multi) = (Method::Password, false);
        Self { user, epoch, methods: Methods::of(method), multi, by: method.into(), at }
    }

    /// The answer to a letter: the user reads the mail of the account's address.
    pub(crate) fn by_email(user: UserId, epoch: u64, at: Timestamp) -> Self {
        let (method, multi) = (Method::EmailCode, false);
        Self { user, epoch, methods: Methods::of(method), multi, by: method.into(), at }
    }

    /// An application's statement.
    pub(crate) fn vouched(user: UserId, epoch: u64, vouch: Vouch, at: Timestamp) -> Self {
        let methods = Methods::of(Method::Vouched);
        let multi = vouch.assurance == Assurance::Multi;
        Self { user, epoch, methods, multi, by: vouch.method, at }
    }

    /// A second factor that answered a pending sign-in: `first` and `by` are of its first proof, and so is
    /// the epoch.
    pub(crate) fn confirmed(
        user: UserId,
        epoch: u64,
        first: Methods,
        by: MethodName,
        factor: Method,
        at: Timestamp,
    ) -> Self {
        Self { user, epoch, methods: first.with(factor), multi: true, by, at }
    }

    /// Returns the user.
    #[must_use]
    pub fn user(&self) -> UserId {
        self.user
    }

    /// Returns the methods.
    #[must_use]
    pub fn methods(&self) -> Methods {
        self.methods
    }

    /// Returns the assurance.
    #[must_use]
    pub fn assurance(&self) -> Assurance {
        if self.multi { Assurance::Multi } else { Assurance::Single }
    }

    /// Returns the time of the proof.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// Returns the name of the method, as events have it.
    #[must_use]
    pub fn by(&self) -> &MethodName {
        &self.by
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }
}

/// An application's statement about a user that it authenticated by its own means.
///
/// ```
/// use goat_core::auth::{Assurance, Vouch};
///
/// assert_eq!(Vouch::single("ldap").assurance, Assurance::Single);
/// assert_eq!(Vouch::multi("smartcard").method.as_str(), "smartcard");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouch {
    /// The application's name for the method, which the event of the sign-in has.
    pub method: MethodName,
    /// Whether the application's check verified several factors. [`Assurance::Multi`] stands in for a
    /// second factor that the user has in goat.
    pub assurance: Assurance,
}

impl Vouch {
    /// A method with one factor.
    ///
    /// # Panics
    ///
    /// As [`MethodName::new`].
    #[must_use]
    pub const fn single(method: &'static str) -> Self {
        Self { method: MethodName::new(method), assurance: Assurance::Single }
    }

    /// A method that verifies several factors.
    ///
    /// # Panics
    ///
    /// As [`MethodName::new`].
    #[must_use]
    pub const fn multi(method: &'static str) -> Self {
        Self { method: MethodName::new(method), assurance: Assurance::Multi }
    }
}
