//! In-memory sessions.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::{SessionId, UserId};
use crate::page::{Page, PageRequest};
use crate::session::{RotationDecision, Session, SessionEpoch, TokenReplacement};
use crate::store::{Replaced, Revoked, Rotated, Rotation, SessionStore, SessionView};

/// In-memory sessions. Not persistent: all sessions end with the process.
#[derive(Default)]
pub struct MemorySessions {
    state: Mutex<State>,
}

/// Invariant: no map in `users` is empty.
#[derive(Default)]
struct State {
    users: HashMap<UserId, HashMap<SessionId, Session>>,
}

impl MemorySessions {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of the present state, to which a model returns.
#[cfg(test)]
impl Clone for MemorySessions {
    fn clone(&self) -> Self {
        Self { state: Mutex::new(State { users: self.lock().users.clone() }) }
    }
}

impl fmt::Debug for MemorySessions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MemorySessions")
    }
}

impl State {
    fn of(&self, user: UserId) -> impl Iterator<Item = &Session> {
        self.users.get(&user).into_iter().flat_map(HashMap::values)
    }

    fn insert(&mut self, session: &Session) {
        self.users.entry(session.user).or_default().insert(session.id, session.clone());
    }

    fn get_mut(&mut self, user: UserId, id: SessionId) -> Option<&mut Session> {
        self.users.get_mut(&user)?.get_mut(&id)
    }

    fn remove(&mut self, user: UserId, id: SessionId) -> bool {
        let Some(sessions) = self.users.get_mut(&user) else { return false };
        let was_there = sessions.remove(&id).is_some();
        if sessions.is_empty() {
            self.users.remove(&user);
        }
        was_there
    }

    fn rotate(&mut self, rotation: &Rotation) -> Rotated {
        let &Rotation { now, presented, epoch, address, .. } = rotation;
        let Some(session) = self.get_mut(rotation.user, rotation.session) else {
            return Rotated::Unknown;
        };
        match session.rotation_decision(presented, epoch, now, rotation.leeway) {
            RotationDecision::Expired => Rotated::Unknown,
            RotationDecision::Replaced => Rotated::Replaced,
            RotationDecision::Repeat => Rotated::Repeated(session.clone()),
            RotationDecision::Rotate => {
                session.rotate(rotation.successor.clone(), now, address);
                Rotated::Rotated(session.clone())
            }
            RotationDecision::Reuse => {
                let session = session.clone();
                self.remove(session.user, session.id);
                Rotated::Reused(session)
            }
        }
    }

    fn evict(&mut self, kept: &Session, most: u32) -> Vec<SessionId> {
        let others = self.of(kept.user).filter(|session| session.id != kept.id);
        let mut others: Vec<_> = others
            .map(|session| (!session.is_expired(kept.created_at), session.created_at, session.id))
            .collect();
        others.sort_by_key(|&order| Reverse(order));
        let surplus = others.into_iter().skip(most.saturating_sub(1) as usize);
        let surplus: Vec<_> = surplus.map(|(_, _, id)| id).collect();
        for id in &surplus {
            self.remove(kept.user, *id);
        }
        surplus
    }
}

#[async_trait]
impl SessionStore for MemorySessions {
    async fn create(&self, session: &Session, most: u32) -> Result<Vec<SessionId>, StoreError> {
        let mut state = self.lock();
        state.insert(session);
        Ok(state.evict(session, most))
    }

    async fn replace(&self, old: SessionId, new: &Session) -> Result<Replaced, StoreError> {
        let mut state = self.lock();
        let found = state.get_mut(new.user, old);
        if found.is_none_or(|session| session.is_expired(new.last_used_at)) {
            return Ok(Replaced::Missing);
        }
        state.remove(new.user, old);
        state.insert(new);
        Ok(Replaced::Replaced)
    }

    async fn find(&self, user: UserId, id: SessionId) -> Result<Option<SessionView>, StoreError> {
        let state = self.lock();
        let found = state.users.get(&user).and_then(|sessions| sessions.get(&id)).cloned();
        Ok(found.map(|session| SessionView { session, owner: None }))
    }

    async fn rotate(&self, rotation: &Rotation) -> Result<Rotated, StoreError> {
        Ok(self.lock().rotate(rotation))
    }

    async fn replace_tokens(
        &self,
        user: UserId,
        replacement: &TokenReplacement,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let session = state.get_mut(user, replacement.session);
        Ok(session.is_some_and(|session| session.replace_tokens(replacement, now)))
    }

    async fn list(
        &self,
        user: UserId,
        epoch: SessionEpoch,
        now: Timestamp,
        page: PageRequest,
    ) -> Result<Page<Session>, StoreError> {
        let state = self.lock();
        let live = state.of(user).filter(|session| session.is_live(epoch, now));
        let mut live: Vec<Session> = live.cloned().collect();
        live.sort_by_key(|session| Reverse((session.created_at, session.id)));
        Ok(Page::of(live, page))
    }

    async fn revoke(
        &self,
        user: UserId,
        epoch: SessionEpoch,
        now: Timestamp,
        sessions: &[SessionId],
    ) -> Result<Revoked, StoreError> {
        let mut state = self.lock();
        let is_revocable = |id: &SessionId| {
            let sessions = state.users.get(&user);
            let session = sessions.and_then(|sessions| sessions.get(id));
            session.is_some_and(|session| session.is_live(epoch, now))
        };
        if !sessions.iter().all(is_revocable) {
            return Ok(Revoked::Missing);
        }
        for id in sessions {
            state.remove(user, *id);
        }
        Ok(Revoked::All(sessions.len() as u64))
    }

    async fn revoke_all(
        &self,
        user: UserId,
        epoch: SessionEpoch,
        now: Timestamp,
        kept: Option<SessionId>,
    ) -> Result<u64, StoreError> {
        let mut state = self.lock();
        let ended: Vec<_> = state
            .of(user)
            .filter(|session| Some(session.id) != kept)
            .map(|session| (session.id, session.is_live(epoch, now)))
            .collect();
        for (id, _) in &ended {
            state.remove(user, *id);
        }
        Ok(ended.into_iter().filter(|(_, was_alive)| *was_alive).count() as u64)
    }

    async fn end(&self, user: UserId, id: SessionId) -> Result<bool, StoreError> {
        Ok(self.lock().remove(user, id))
    }

    async fn purge(&self, now: Timestamp, most: u32) -> Result<u64, StoreError> {
        let mut state = self.lock();
        let all = state.users.values().flat_map(HashMap::values);
        let expired = all.filter(|session| session.is_expired(now));
        let expired: Vec<_> =
            expired.map(|session| (session.user, session.id)).take(most as usize).collect();
        for (user, id) in &expired {
            state.remove(*user, *id);
        }
        Ok(expired.len() as u64)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
