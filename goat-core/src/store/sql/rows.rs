//! Row decoding: converts rows to domain types.
//!
//! Invariant: a value that cannot be parsed is an error, never a default.

use std::net::IpAddr;

use sqlx::Row as _;

use crate::access::{Grant, Permission, Rank, Role, StoredRole};
use crate::clock::Timestamp;
use crate::id::{GrantId, KeyId, SessionId, TokenId, UserId};
use crate::key::{Key, KeyHash, Scopes, StoredKey};
use crate::proof::Methods;
use crate::session::{Predecessor, RefreshToken, Session, SessionEpoch, TokenReplacement};
use crate::store::sql::failure::Failure;
use crate::user::{Account, Attributes, Email, Status, User, UserState};

use super::dialect::Row;

/// The columns that [`user`] reads.
macro_rules! user_columns {
    () => {
        "id, email, email_canonical, email_verified_at, role, status, created_at, updated_at, \
         last_login_at, attributes"
    };
}
pub(super) use user_columns;

/// The columns that [`account`] reads.
macro_rules! account_columns {
    () => {
        "id, email, email_canonical, email_verified_at, role, status, created_at, updated_at, \
         last_login_at, attributes, password_hash, session_epoch, kept_session, token_replacement, \
         revision"
    };
}
pub(super) use account_columns;

/// The columns that [`state`] reads, also beside those of the session.
macro_rules! state_columns {
    () => {
        "email, email_canonical, email_verified_at, role, status, \
         goat_users.created_at AS user_created_at, updated_at, last_login_at, attributes, \
         session_epoch, kept_session, revision, \
         (SELECT roles_revision FROM goat_guard) AS roles_revision"
    };
}
pub(super) use state_columns;

/// The columns that [`session`] reads, also beside those of the user.
macro_rules! session_columns {
    () => {
        "goat_sessions.id, user_id, epoch, device, address, goat_sessions.created_at, \
         last_used_at, idle_at, ends_at, current_id, current_issued_at, current_expires_at, \
         current_key, previous_id, previous_used_at, previous_used_from, methods, authenticated_at, \
         multi_at, actor_id"
    };
}
pub(super) use session_columns;

/// The columns that [`stored_key`] reads, also beside those of the owner.
macro_rules! key_columns {
    () => {
        "goat_keys.id, owner_id, made_by, name, hash, scopes, goat_keys.created_at, expires_at, \
         last_used_at"
    };
}
pub(super) use key_columns;

/// Decodes a user.
pub(super) fn user(row: &Row) -> Result<User, Failure> {
    user_created_at(row, parsed(row, "id", UserId::parse)?, "created_at")
}

fn user_created_at(row: &Row, id: UserId, created_at: &'static str) -> Result<User, Failure> {
    let last_login_at = time(row, "last_login_at")?;
    Ok(User {
        id,
        email: Email::from_stored(row.try_get("email")?, row.try_get("email_canonical")?),
        email_verified_at: time_if_any(row, "email_verified_at")?,
        role: parsed(row, "role", Role::parse)?,
        status: status(row)?,
        created_at: time(row, created_at)?,
        updated_at: time(row, "updated_at")?,
        last_login_at: (last_login_at != Timestamp::default()).then_some(last_login_at),
        attributes: parsed_optional(row, "attributes", |text| {
            Attributes::from_stored(text).ok_or(())
        })?
        .unwrap_or_default(),
    })
}

/// Decodes an account: the user with password hash, epoch and revision.
pub(super) fn account(row: &Row) -> Result<Account, Failure> {
    let password_hash: String = row.try_get("password_hash")?;
    Ok(Account {
        user: user(row)?,
        password_hash: password_hash.into(),
        epoch: epoch(row)?,
        replacement: parsed_optional(row, "token_replacement", |text| {
            TokenReplacement::parse(text).ok_or(())
        })?,
        revision: count(row, "revision")?,
    })
}

/// Decodes the state of a user.
pub(super) fn state(row: &Row, id: UserId) -> Result<UserState, Failure> {
    Ok(UserState {
        user: user_created_at(row, id, "user_created_at")?,
        epoch: epoch(row)?,
        roles_revision: Some(count(row, "roles_revision")?),
        revision: count(row, "revision")?,
    })
}

/// Decodes a session.
pub(super) fn session(row: &Row) -> Result<Session, Failure> {
    let previous = match parsed_optional(row, "previous_id", TokenId::parse)? {
        None => None,
        Some(id) => Some(Predecessor {
            id,
            used_at: time(row, "previous_used_at")?,
            used_from: parsed_optional(row, "previous_used_from", str::parse)?,
        }),
    };
    let created_at = time(row, "created_at")?;
    let methods = u16::try_from(count(row, "methods")?).map_err(|_| Failure::Row("methods"))?;
    let authenticated_at = time(row, "authenticated_at")?;
    Ok(Session {
        id: parsed(row, "id", SessionId::parse)?,
        user: parsed(row, "user_id", UserId::parse)?,
        epoch: count(row, "epoch")?,
        device: row.try_get("device")?,
        address: parsed_optional(row, "address", str::parse::<IpAddr>)?,
        created_at,
        last_used_at: time(row, "last_used_at")?,
        idle_at: time(row, "idle_at")?,
        ends_at: time(row, "ends_at")?,
        current: RefreshToken {
            id: parsed(row, "current_id", TokenId::parse)?,
            issued_at: time(row, "current_issued_at")?,
            expires_at: time(row, "current_expires_at")?,
            key: row.try_get("current_key")?,
        },
        previous,
        methods: Methods::from_bits(methods),
        // A node of an earlier version writes no time: it knows the password only.
        authenticated_at: if authenticated_at == Timestamp::default() {
            created_at
        } else {
            authenticated_at
        },
        multi_at: time_if_any(row, "multi_at")?,
        actor: parsed_optional(row, "actor_id", UserId::parse)?,
    })
}

/// Decodes a key.
pub(super) fn stored_key(row: &Row) -> Result<StoredKey, Failure> {
    let hash: &[u8] = row.try_get("hash")?;
    let made_by = |text: &str| match text {
        "" => Ok(None),
        id => UserId::parse(id).map(Some),
    };
    Ok(StoredKey {
        key: Key {
            id: parsed(row, "id", KeyId::parse)?,
            owner: parsed(row, "owner_id", UserId::parse)?,
            made_by: parsed(row, "made_by", made_by)?,
            name: row.try_get("name")?,
            scopes: parsed(row, "scopes", |text| Scopes::from_stored(text).ok_or(()))?,
            created_at: time(row, "created_at")?,
            expires_at: time_if_any(row, "expires_at")?,
            last_used_at: time_if_any(row, "last_used_at")?,
        },
        hash: KeyHash::from_bytes(hash.try_into().map_err(|_| Failure::Row("hash"))?),
    })
}

/// Decodes a grant.
pub(super) fn grant(row: &Row) -> Result<Grant, Failure> {
    Ok(Grant {
        id: parsed(row, "id", GrantId::parse)?,
        role: parsed(row, "role", Role::parse)?,
        permission: parsed(row, "permission", Permission::parse)?,
        created_at: time(row, "created_at")?,
    })
}

/// Decodes a role.
pub(super) fn role(row: &Row) -> Result<StoredRole, Failure> {
    Ok(StoredRole {
        role: parsed(row, "role", Role::parse)?,
        rank: Rank(u32::try_from(count(row, "rank")?).map_err(|_| Failure::Row("rank"))?),
        created_at: time(row, "created_at")?,
    })
}

fn status(row: &Row) -> Result<Status, Failure> {
    parsed(row, "status", |text| Status::parse(text).ok_or(()))
}

fn epoch(row: &Row) -> Result<SessionEpoch, Failure> {
    let kept = parsed_optional(row, "kept_session", SessionId::parse)?;
    Ok(SessionEpoch { number: count(row, "session_epoch")?, kept })
}

/// Decodes a time.
pub(super) fn time(row: &Row, column: &'static str) -> Result<Timestamp, Failure> {
    Ok(Timestamp::from_millis(row.try_get(column)?))
}

/// Decodes a time that may be `NULL`.
fn time_if_any(row: &Row, column: &'static str) -> Result<Option<Timestamp>, Failure> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp::from_millis))
}

/// Decodes a number that is never negative.
pub(super) fn count(row: &Row, column: &'static str) -> Result<u64, Failure> {
    u64::try_from(row.try_get::<i64, _>(column)?).map_err(|_| Failure::Row(column))
}

fn parsed<T, E>(
    row: &Row,
    column: &'static str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<T, Failure> {
    parse(row.try_get(column)?).map_err(|_| Failure::Row(column))
}

fn parsed_optional<T, E>(
    row: &Row,
    column: &'static str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Option<T>, Failure> {
    let text: Option<&str> = row.try_get(column)?;
    text.map(parse).transpose().map_err(|_| Failure::Row(column))
}

/// Converts a number for the database, which has no unsigned type; saturates.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
