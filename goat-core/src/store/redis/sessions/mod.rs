//! Sessions in Redis: one hash a user, one field a session.
//!
//! Invariants:
//! - each call is one command or one script on one key, so it did all or nothing;
//! - only [`SessionStore::create`] makes a session; a rotation writes where it has just read;
//! - a call whose answer was lost with its connection is made again where that ends as once would,
//!   at worst with a count of what was ended that is too low;
//! - the key of a user expires when the last of their sessions is over, never before.

mod codec;

use std::cmp::Reverse;
use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use redis::Value;

use super::RedisContext;
use super::client::{Retry, Script};
use super::failure::Failure;
use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::{SessionId, UserId};
use crate::page::{Page, PageRequest};
use crate::session::{
    Revoked, Rotated, Rotation, Session, SessionEpoch, SessionStore, SessionView,
};

macro_rules! script {
    ($file:literal) => {
        LazyLock::new(|| {
            let parts = [include_str!("../clock.lua"), include_str!("session.lua")];
            Script::new([parts[0], parts[1], include_str!($file)].concat())
        })
    };
}

static CREATE: LazyLock<Script> = script!("create.lua");
static ROTATE: LazyLock<Script> = script!("rotate.lua");
static LIST: LazyLock<Script> = script!("list.lua");
static REVOKE: LazyLock<Script> = script!("revoke.lua");
static REVOKE_ALL: LazyLock<Script> = script!("revoke_all.lua");

/// Sessions in Redis.
#[derive(Clone, Debug)]
pub(super) struct RedisSessions {
    context: RedisContext,
}

impl RedisSessions {
    pub(super) fn new(context: RedisContext) -> Self {
        Self { context }
    }

    /// The key of a user's sessions.
    fn key(&self, user: UserId) -> Vec<u8> {
        format!("{}:{{{user}}}:s", self.context.prefix).into_bytes()
    }

    /// Which time a script goes by: the server's if this is empty.
    fn time(&self, now: Timestamp) -> String {
        let now = now.as_millis().saturating_mul(1000);
        if self.context.uses_caller_clock { now.to_string() } else { String::new() }
    }

    /// Runs a script of those that begin with the time.
    async fn run(
        &self,
        operation: &'static str,
        script: &Script,
        user: UserId,
        now: Timestamp,
        arguments: &[&[u8]],
        retry: Retry,
    ) -> Result<Value, StoreError> {
        let time = self.time(now);
        let mut all = vec![time.as_bytes()];
        all.extend(arguments);
        self.context.client.script(operation, script, &self.key(user), &all, retry).await
    }
}

fn bytes_of(id: SessionId) -> [u8; 16] {
    id.as_u128().to_be_bytes()
}

/// What stands for the session that an epoch spares, or for one to keep.
fn bytes_of_any(id: Option<SessionId>) -> Vec<u8> {
    id.map_or_else(Vec::new, |id| bytes_of(id).to_vec())
}

fn id_of(bytes: &[u8]) -> Option<SessionId> {
    Some(SessionId::from_u128(u128::from_be_bytes(bytes.try_into().ok()?)))
}

/// What stands in Redis, or what a script answered, is not goat's.
fn unreadable(operation: &'static str) -> impl Fn() -> StoreError {
    move || Failure::broken("a session cannot be read").in_operation(operation)
}

#[async_trait]
impl SessionStore for RedisSessions {
    async fn create(&self, session: &Session, most: u32) -> Result<Vec<SessionId>, StoreError> {
        const OPERATION: &str = "sessions.create";
        let packed = codec::encode(session).ok_or_else(|| {
            Failure::broken("a session has a time or a text that does not fit")
                .in_operation(OPERATION)
        })?;
        let (id, most) = (bytes_of(session.id), most.to_string());
        let arguments: [&[u8]; 3] = [&id, &packed, most.as_bytes()];
        let (user, now) = (session.user, session.created_at);
        let answer = self.run(OPERATION, &CREATE, user, now, &arguments, Retry::Yes).await?;
        let Value::Array(evicted) = answer else { return Err(unreadable(OPERATION)()) };
        let read = |value| match value {
            Value::BulkString(bytes) => id_of(&bytes),
            _ => None,
        };
        let evicted: Option<Vec<_>> = evicted.into_iter().map(read).collect();
        evicted.ok_or_else(unreadable(OPERATION))
    }

    async fn find(&self, user: UserId, id: SessionId) -> Result<Option<SessionView>, StoreError> {
        const OPERATION: &str = "sessions.find";
        let key = self.key(user);
        let mut command = redis::cmd("HGET");
        command.arg(&key).arg(&bytes_of(id));
        match self.context.client.command(OPERATION, &key, &command, Retry::Yes).await? {
            Value::Nil => Ok(None),
            Value::BulkString(bytes) => {
                let session = codec::decode(user, id, &bytes).ok_or_else(unreadable(OPERATION))?;
                Ok(Some(SessionView { session, owner: None }))
            }
            _ => Err(unreadable(OPERATION)()),
        }
    }

    async fn rotate(&self, rotation: &Rotation) -> Result<Rotated, StoreError> {
        const OPERATION: &str = "sessions.rotate";
        let &Rotation { user, session: id, ref successor, now, .. } = rotation;
        let times = (codec::time(successor.issued_at), codec::time(successor.expires_at));
        let (Some(issued_at), Some(expires_at)) = times else {
            return Err(Failure::broken("a token's time does not fit").in_operation(OPERATION));
        };
        if successor.key.len() > usize::from(u8::MAX) {
            return Err(Failure::broken("a key's name does not fit").in_operation(OPERATION));
        }
        let leeway = leeway(rotation.leeway);
        let arguments: [&[u8]; 7] = [
            &bytes_of(id),
            &rotation.presented.as_u128().to_be_bytes(),
            leeway.as_bytes(),
            &successor.id.as_u128().to_be_bytes(),
            &issued_at,
            &expires_at,
            successor.key.as_bytes(),
        ];
        // To send it again is harmless: the script knows a successor that is there already.
        let answer = self.run(OPERATION, &ROTATE, user, now, &arguments, Retry::Yes).await?;
        let Value::Array(answer) = answer else { return Err(unreadable(OPERATION)()) };
        let (outcome, bytes) = match answer.as_slice() {
            [Value::Int(0)] => return Ok(Rotated::Unknown),
            [Value::Int(outcome), Value::BulkString(bytes)] => (outcome, bytes),
            _ => return Err(unreadable(OPERATION)()),
        };
        let session = codec::decode(user, id, bytes).ok_or_else(unreadable(OPERATION))?;
        match outcome {
            1 => Ok(Rotated::Rotated(session)),
            2 => Ok(Rotated::Repeated(session)),
            3 => Ok(Rotated::Reused(session)),
            _ => Err(unreadable(OPERATION)()),
        }
    }

    async fn list(
        &self,
        user: UserId,
        epoch: SessionEpoch,
        now: Timestamp,
        page: PageRequest,
    ) -> Result<Page<Session>, StoreError> {
        const OPERATION: &str = "sessions.list";
        let spared = bytes_of_any(epoch.kept);
        let arguments: [&[u8]; 2] = [&epoch.number.to_be_bytes(), &spared];
        let answer = self.run(OPERATION, &LIST, user, now, &arguments, Retry::Yes).await?;
        let Value::Array(alive) = answer else { return Err(unreadable(OPERATION)()) };
        let read = |pair: &[Value]| match pair {
            [Value::BulkString(id), Value::BulkString(bytes)] => {
                codec::decode(user, id_of(id)?, bytes)
            }
            _ => None,
        };
        let alive: Option<Vec<Session>> = alive.chunks(2).map(read).collect();
        let mut alive = alive.ok_or_else(unreadable(OPERATION))?;
        alive.sort_by_key(|session| Reverse((session.created_at, session.id)));
        Ok(Page::of(alive, page))
    }

    async fn revoke(
        &self,
        user: UserId,
        epoch: SessionEpoch,
        now: Timestamp,
        sessions: &[SessionId],
    ) -> Result<Revoked, StoreError> {
        const OPERATION: &str = "sessions.revoke";
        let (number, spared) = (epoch.number.to_be_bytes(), bytes_of_any(epoch.kept));
        let ids: Vec<[u8; 16]> = sessions.iter().copied().map(bytes_of).collect();
        let mut arguments: Vec<&[u8]> = vec![&number, &spared];
        arguments.extend(ids.iter().map(|id| id.as_slice()));
        // Not twice: the second time they would be missing, though it was this call that ended them.
        match self.run(OPERATION, &REVOKE, user, now, &arguments, Retry::No).await? {
            Value::Int(1) => Ok(Revoked::All(sessions.len() as u64)),
            Value::Int(0) => Ok(Revoked::Missing),
            _ => Err(unreadable(OPERATION)()),
        }
    }

    async fn revoke_all(
        &self,
        user: UserId,
        epoch: SessionEpoch,
        now: Timestamp,
        kept: Option<SessionId>,
    ) -> Result<u64, StoreError> {
        const OPERATION: &str = "sessions.revoke_all";
        let (spared, kept) = (bytes_of_any(epoch.kept), bytes_of_any(kept));
        let arguments: [&[u8]; 3] = [&epoch.number.to_be_bytes(), &spared, &kept];
        match self.run(OPERATION, &REVOKE_ALL, user, now, &arguments, Retry::Yes).await? {
            Value::Int(count) => u64::try_from(count).map_err(|_| unreadable(OPERATION)()),
            _ => Err(unreadable(OPERATION)()),
        }
    }

    async fn end(&self, user: UserId, id: SessionId) -> Result<bool, StoreError> {
        const OPERATION: &str = "sessions.end";
        let key = self.key(user);
        let mut command = redis::cmd("HDEL");
        command.arg(&key).arg(&bytes_of(id));
        match self.context.client.command(OPERATION, &key, &command, Retry::Yes).await? {
            Value::Int(count) => Ok(count > 0),
            _ => Err(unreadable(OPERATION)()),
        }
    }

    /// Nothing is left to do: a user's key expires with the last of their sessions, and those that
    /// are over before give way first when there are too many.
    async fn purge(&self, _: Timestamp, _: u32) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.context.ping("sessions.ping").await
    }
}

/// The leeway in milliseconds, as scripts take it. One of zero is none at all, which differs from
/// one too short to count: where the clock was set back, that one still honours.
fn leeway(leeway: Duration) -> String {
    if leeway.is_zero() { "-1".to_owned() } else { leeway.as_millis().to_string() }
}
