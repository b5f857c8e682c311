//! Challenge store port.

use std::fmt;

use async_trait::async_trait;

use crate::challenge::{Challenge, Purpose, Subject};
use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::{ChallengeId, UserId};

/// The port to challenges.
///
/// An implementer guarantees:
/// - [`ChallengeStore::attempt`] and [`ChallengeStore::take`] are atomic: of concurrent calls no more succeed
///   than there are attempts, and exactly one takes a challenge;
/// - a challenge that was taken or removed never returns;
/// - a dropped call took effect completely or not at all.
///
/// A challenge is live until it expires. One without attempts left is found, since the link of a letter uses
/// none, but takes no further attempt. One whose user no longer exists opens
/// nothing; [`Goat`](crate::Goat) removes a deleted user's, and a store in the database of the users does so
/// in the transaction of the deletion.
/// `now` is the caller's clock; a store with a
/// clock of its own uses that instead.
#[async_trait]
pub trait ChallengeStore: fmt::Debug + Send + Sync {
    /// Stores a challenge. Of this purpose and subject the newest `live` stay, this one among them.
    async fn put(
        &self,
        challenge: &Challenge,
        subject: &Subject,
        live: u32,
    ) -> Result<(), StoreError>;

    /// Returns a live challenge of this purpose. Uses no attempt.
    async fn find(
        &self,
        id: ChallengeId,
        purpose: Purpose,
        now: Timestamp,
    ) -> Result<Option<Challenge>, StoreError>;

    /// Whether a live challenge of this purpose and subject exists that has attempts left.
    async fn is_pending(
        &self,
        purpose: Purpose,
        subject: &Subject,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Uses an attempt of a live challenge of this purpose; returns whether there was one.
    async fn attempt(
        &self,
        id: ChallengeId,
        purpose: Purpose,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Removes a challenge; returns whether it existed, to exactly one caller.
    async fn take(&self, id: ChallengeId) -> Result<bool, StoreError>;

    /// Removes the challenges of a user, but those of the purpose in `keep` that were made before the time in
    /// it; returns how many.
    async fn remove_all(
        &self,
        user: UserId,
        keep: Option<(Purpose, Timestamp)>,
    ) -> Result<u64, StoreError>;

    /// Removes at most `most` expired challenges; returns how many.
    async fn purge(&self, now: Timestamp, most: u32) -> Result<u64, StoreError>;
}

/// A store that holds and accepts no challenges.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoChallenges;

#[async_trait]
impl ChallengeStore for NoChallenges {
    async fn put(&self, _: &Challenge, _: &Subject, _: u32) -> Result<(), StoreError> {
        Err(StoreError::broken(operation::PUT).with_source("the store accepts no challenges"))
    }

    async fn find(
        &self,
        _: ChallengeId,
        _: Purpose,
        _: Timestamp,
    ) -> Result<Option<Challenge>, StoreError> {
        Ok(None)
    }

    async fn is_pending(&self, _: Purpose, _: &Subject, _: Timestamp) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn attempt(&self, _: ChallengeId, _: Purpose, _: Timestamp) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn take(&self, _: ChallengeId) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn remove_all(
        &self,
        _: UserId,
        _: Option<(Purpose, Timestamp)>,
    ) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn purge(&self, _: Timestamp, _: u32) -> Result<u64, StoreError> {
        Ok(0)
    }
}

/// Operation names of [`ChallengeStore`], as errors and metrics report them.
pub(crate) mod operation {
    pub(crate) const PUT: &str = "challenges.put";
    pub(crate) const FIND: &str = "challenges.find";
    pub(crate) const IS_PENDING: &str = "challenges.is_pending";
    pub(crate) const ATTEMPT: &str = "challenges.attempt";
    pub(crate) const TAKE: &str = "challenges.take";
    pub(crate) const REMOVE_ALL: &str = "challenges.remove_all";
    pub(crate) const PURGE: &str = "challenges.purge";
}
