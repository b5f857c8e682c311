//! Sessions in Redis: one hash per user, one field per session.
//!
//! Invariants:
//! - each call is one command or one script on one key, and so atomic;
//! - only [`SessionStore::create`] and [`SessionStore::replace`] add a session; a rotation writes only a session that it has read;
//! - an idempotent call is repeated after a lost connection; at worst its count of ended sessions is
//!   too low;
//! - a user's key expires when the last session of the user expires, not before.

mod codec;

use std::cmp::Reverse;
use std::sync::LazyLock;

use async_trait::async_trait;
use redis::Value;

use super::RedisContext;
use super::client::{Retry, Script};
use super::failure::Failure;
use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::{SessionId, UserId};
use crate::page::{Page, PageRequest};
use crate::session::{RefreshToken, Session, SessionEpoch, TokenReplacement};
use crate::store::sessions::operation;
use crate::store::{Replaced, Revoked, Rotated, Rotation, SessionStore, SessionView};

macro_rules! script {
    ($file:literal) => {
        LazyLock::new(|| {
            let parts = [include_str!("../clock.lua"), include_str!("session.lua")];
            Script::new([parts[0], parts[1], include_str!($file)].concat())
        })
    };
}

static CREATE: LazyLock<Script> = script!("create.lua");
static REPLACE: LazyLock<Script> = script!("replace.lua");
static ROTATE: LazyLock<Script> = script!("rotate.lua");
static REPLACE_TOKENS: LazyLock<Script> = script!("replace_tokens.lua");
static LIST: LazyLock<Script> = script!("list.lua");
static REVOKE: LazyLock<Script> = script!("revoke.lua");
static REVOKE_ALL: LazyLock<Script> = script!("revoke_all.lua");

/// Decodes a stored session, and encodes it again.
#[cfg(feature = "testing")]
pub(super) fn encoded_again(value: &[u8]) -> Option<Vec<u8>> {
    let session = codec::decode(UserId::from_u128(1), SessionId::from_u128(2), value)?;
    codec::encode(&session)
}

/// Sessions in Redis.
#[derive(Clone, Debug)]
pub(super) struct RedisSessions {
    context: RedisContext,
}

impl RedisSessions {
    pub(super) fn new(context: RedisContext) -> Self {
        Self { context }
    }

    /// Returns the Redis key of a user's sessions.
    fn key(&self, user: UserId) -> Vec<u8> {
        format!("{}:{{{user}}}:s", self.context.prefix).into_bytes()
    }

    /// Returns the time argument of a script; empty for the server's clock.
    fn time(&self, now: Timestamp) -> String {
        let now = now.as_millis().saturating_mul(1000);
        if self.context.uses_caller_clock { now.to_string() } else { String::new() }
    }

    /// Runs a script whose first argument is the time.
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

/// Encodes the session that an epoch spares, or one to keep; empty if there is none.
fn bytes_of_any(id: Option<SessionId>) -> Vec<u8> {
    id.map_or_else(Vec::new, |id| bytes_of(id).to_vec())
}

fn id_of(bytes: &[u8]) -> Option<SessionId> {
    Some(SessionId::from_u128(u128::from_be_bytes(bytes.try_into().ok()?)))
}

/// Encodes a refresh token as arguments: id, issue time, expiry time, key id.
fn encoded(operation: &'static str, token: &RefreshToken) -> Result<[Vec<u8>; 4], StoreError> {
    let malformed = |text| Failure::malformed(text).in_operation(operation);
    let time = |time| {
        let encoded = codec::time(time);
        encoded.ok_or_else(|| malformed("a time of the token does not fit the encoding"))
    };
    if token.key.len() > usize::from(u8::MAX) {
        return Err(malformed("the key id does not fit the encoding"));
    }
    Ok([
        token.id.as_u128().to_be_bytes().to_vec(),
        time(token.issued_at)?.to_vec(),
        time(token.expires_at)?.to_vec(),
        token.key.as_bytes().to_vec(),
    ])
}

fn packed(operation: &'static str, session: &Session) -> Result<Vec<u8>, StoreError> {
    codec::encode(session).ok_or_else(|| {
        Failure::malformed("a time or text of the session does not fit the encoding")
            .in_operation(operation)
    })
}

/// Stored data or a reply that goat did not write.
fn unreadable(operation: &'static str) -> impl Fn() -> StoreError {
    move || Failure::malformed("malformed session data").in_operation(operation)
}

#[async_trait]
impl SessionStore for RedisSessions {
    async fn create(&self, session: &Session, most: u32) -> Result<Vec<SessionId>, StoreError> {
        const OPERATION: &str = operation::CREATE;
        let packed = packed(OPERATION, session)?;
        let (id, most) = (bytes_of(session.id), most.to_string());
        let arguments: [&[u8]; 3] = [&id, &packed, most.as_bytes()];
        let (user, now) = (session.user, session.created_at);
        let reply = self.run(OPERATION, &CREATE, user, now, &arguments, Retry::Yes).await?;
        let Value::Array(evicted) = reply else { return Err(unreadable(OPERATION)()) };
        let read = |value| match value {
            Value::BulkString(bytes) => id_of(&bytes),
            _ => None,
        };
        let evicted: Option<Vec<_>> = evicted.into_iter().map(read).collect();
        evicted.ok_or_else(unreadable(OPERATION))
    }

    async fn replace(&self, old: SessionId, new: &Session) -> Result<Replaced, StoreError> {
        const OPERATION: &str = operation::REPLACE;
        let packed = packed(OPERATION, new)?;
        let (old, id) = (bytes_of(old), bytes_of(new.id));
        let arguments: [&[u8]; 3] = [&old, &id, &packed];
        // Idempotent: the script recognizes a session that it already stored.
        let (user, now) = (new.user, new.last_used_at);
        match self.run(OPERATION, &REPLACE, user, now, &arguments, Retry::Yes).await? {
            Value::Int(1) => Ok(Replaced::Replaced),
            Value::Int(0) => Ok(Replaced::Missing),
            _ => Err(unreadable(OPERATION)()),
        }
    }

    async fn find(&self, user: UserId, id: SessionId) -> Result<Option<SessionView>, StoreError> {
        const OPERATION: &str = operation::FIND;
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
        const OPERATION: &str = operation::ROTATE;
        let &Rotation { user, session: id, ref successor, now, .. } = rotation;
        let [token, issued_at, expires_at, key] = &encoded(OPERATION, successor)?;
        let leeway = rotation.leeway.as_millis().to_string();
        let arguments: [&[u8]; 9] = [
            &bytes_of(id),
            &rotation.presented.as_u128().to_be_bytes(),
            leeway.as_bytes(),
            token,
            issued_at,
            expires_at,
            key,
            &rotation.epoch.to_be_bytes(),
            &codec::octets(rotation.address),
        ];
        // Idempotent: the script recognizes a successor that it already stored.
        let reply = self.run(OPERATION, &ROTATE, user, now, &arguments, Retry::Yes).await?;
        let Value::Array(reply) = reply else { return Err(unreadable(OPERATION)()) };
        let (outcome, bytes) = match reply.as_slice() {
            [Value::Int(0)] => return Ok(Rotated::Unknown),
            [Value::Int(4)] => return Ok(Rotated::Replaced),
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

    async fn replace_tokens(
        &self,
        user: UserId,
        replacement: &TokenReplacement,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        const OPERATION: &str = operation::REPLACE_TOKENS;
        let [token, issued_at, expires_at, key] = &encoded(OPERATION, &replacement.token)?;
        let arguments: [&[u8]; 6] = [
            &bytes_of(replacement.session),
            &replacement.epoch.to_be_bytes(),
            token,
            issued_at,
            expires_at,
            key,
        ];
        match self.run(OPERATION, &REPLACE_TOKENS, user, now, &arguments, Retry::Yes).await? {
            Value::Int(1) => Ok(true),
            Value::Int(0) => Ok(false),
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
        const OPERATION: &str = operation::LIST;
        let spared = bytes_of_any(epoch.kept);
        let arguments: [&[u8]; 2] = [&epoch.number.to_be_bytes(), &spared];
        let reply = self.run(OPERATION, &LIST, user, now, &arguments, Retry::Yes).await?;
        let Value::Array(alive) = reply else { return Err(unreadable(OPERATION)()) };
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
        const OPERATION: &str = operation::REVOKE;
        let (number, spared) = (epoch.number.to_be_bytes(), bytes_of_any(epoch.kept));
        let ids: Vec<[u8; 16]> = sessions.iter().copied().map(bytes_of).collect();
        let mut arguments: Vec<&[u8]> = vec![&number, &spared];
        arguments.extend(ids.iter().map(|id| id.as_slice()));
        // Not idempotent: a repeated call would find the sessions missing that the first one ended.
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
        const OPERATION: &str = operation::REVOKE_ALL;
        let (spared, kept) = (bytes_of_any(epoch.kept), bytes_of_any(kept));
        let arguments: [&[u8]; 3] = [&epoch.number.to_be_bytes(), &spared, &kept];
        match self.run(OPERATION, &REVOKE_ALL, user, now, &arguments, Retry::Yes).await? {
            Value::Int(count) => u64::try_from(count).map_err(|_| unreadable(OPERATION)()),
            _ => Err(unreadable(OPERATION)()),
        }
    }

    async fn end(&self, user: UserId, id: SessionId) -> Result<bool, StoreError> {
        const OPERATION: &str = operation::END;
        let key = self.key(user);
        let mut command = redis::cmd("HDEL");
        command.arg(&key).arg(&bytes_of(id));
        match self.context.client.command(OPERATION, &key, &command, Retry::Yes).await? {
            Value::Int(count) => Ok(count > 0),
            _ => Err(unreadable(OPERATION)()),
        }
    }

    /// Does nothing: a user's key expires with the user's last session, and expired sessions are
    /// evicted first.
    async fn purge(&self, _: Timestamp, _: u32) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.context.ping(operation::PING).await
    }
}
