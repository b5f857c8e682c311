//! In-memory challenges.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::challenge::{Challenge, Purpose, Subject};
use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::{ChallengeId, UserId};
use crate::store::ChallengeStore;

/// In-memory challenges. Not persistent: all end with the process.
#[derive(Default)]
pub struct MemoryChallenges {
    state: Mutex<HashMap<ChallengeId, (Subject, Challenge)>>,
}

impl MemoryChallenges {
    fn lock(&self) -> MutexGuard<'_, HashMap<ChallengeId, (Subject, Challenge)>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryChallenges {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MemoryChallenges")
    }
}

#[async_trait]
impl ChallengeStore for MemoryChallenges {
    async fn put(
        &self,
        challenge: &Challenge,
        subject: &Subject,
        live: u32,
    ) -> Result<(), StoreError> {
        let mut state = self.lock();
        let others = state.values().filter(|(of, other)| {
            of == subject && other.purpose == challenge.purpose && other.id != challenge.id
        });
        let mut others: Vec<_> = others.map(|(_, other)| (other.made_at, other.id)).collect();
        others.sort_unstable_by_key(|place| Reverse(*place));
        let kept = (live.max(1) - 1) as usize;
        for (_, surplus) in others.into_iter().skip(kept) {
            state.remove(&surplus);
        }
        state.insert(challenge.id, (subject.clone(), challenge.clone()));
        Ok(())
    }

    async fn find(
        &self,
        id: ChallengeId,
        purpose: Purpose,
        now: Timestamp,
    ) -> Result<Option<Challenge>, StoreError> {
        let state = self.lock();
        let found = state.get(&id).map(|(_, challenge)| challenge);
        Ok(found.filter(|found| found.purpose == purpose && now < found.expires_at).cloned())
    }

    async fn is_pending(
        &self,
        purpose: Purpose,
        subject: &Subject,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        Ok(self.lock().values().any(|(of, challenge)| {
            of == subject && challenge.purpose == purpose && challenge.is_live(now)
        }))
    }

    async fn attempt(
        &self,
        id: ChallengeId,
        purpose: Purpose,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let found = state.get_mut(&id).map(|(_, challenge)| challenge);
        let Some(found) = found.filter(|found| found.purpose == purpose && found.is_live(now))
        else {
            return Ok(false);
        };
        found.attempts_left -= 1;
        Ok(true)
    }

    async fn take(&self, id: ChallengeId) -> Result<bool, StoreError> {
        Ok(self.lock().remove(&id).is_some())
    }

    async fn remove_all(
        &self,
        user: UserId,
        keep: Option<(Purpose, Timestamp)>,
    ) -> Result<u64, StoreError> {
        let mut state = self.lock();
        let before = state.len();
        state.retain(|_, (_, challenge)| {
            let is_kept = keep.is_some_and(|(purpose, at)| {
                challenge.purpose == purpose && challenge.made_at < at
            });
            challenge.user != Some(user) || is_kept
        });
        Ok((before - state.len()) as u64)
    }

    async fn purge(&self, now: Timestamp, most: u32) -> Result<u64, StoreError> {
        let mut state = self.lock();
        let expired = state.values().filter(|(_, challenge)| now >= challenge.expires_at);
        let expired: Vec<_> =
            expired.map(|(_, challenge)| challenge.id).take(most as usize).collect();
        for id in &expired {
            state.remove(id);
        }
        Ok(expired.len() as u64)
    }
}
