//! SQL session store.

use async_trait::async_trait;
use sqlx::Row as _;

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::{SessionId, UserId};
use crate::page::{Page, PageRequest};
use crate::session::{RotationDecision, Session, SessionEpoch, TokenReplacement};
use crate::store::sessions::operation;
use crate::store::sql::failure::Failure;
use crate::store::{Replaced, Revoked, Rotated, Rotation, SessionStore, SessionView};

use super::connection::Connection;
use super::database::Pools;
use super::dialect::{self, Row, for_update, for_update_skip_locked, now};
use super::rows::{self, session_columns, signed, state_columns};

/// The live sessions of user `$1` at `$2` under the epoch `$3`, which keeps `$4`: the rule of
/// `Session::is_live`.
macro_rules! live_of_user {
    () => {
        concat!("user_id = $1 AND idle_at > ", now!("$2"), " AND (epoch = $3 OR id = $4)")
    };
}

/// The sessions of a database.
#[derive(Debug)]
pub(super) struct SqlSessions {
    pools: Pools,
    /// Whether users are kept in the same database.
    has_users: bool,
}

impl SqlSessions {
    pub(super) fn with_users(pools: Pools) -> Self {
        Self { pools, has_users: true }
    }

    pub(super) fn without_users(pools: Pools) -> Self {
        Self { pools, has_users: false }
    }

    /// Locks a session until the end of the transaction; returns it and the time of the decision on it.
    async fn lock(
        &self,
        connection: &mut Connection<'_>,
        user: UserId,
        id: SessionId,
        now: Timestamp,
    ) -> Result<Option<(Session, Timestamp)>, Failure> {
        // The time is read after the row is locked, so that it includes the wait for the lock.
        const QUERY: &str = concat!(
            "WITH locked AS MATERIALIZED (SELECT ",
            session_columns!(),
            " FROM goat_sessions WHERE id = $1 AND user_id = $2",
            for_update!(),
            ") SELECT locked.*, ",
            now!("$3"),
            " AS decided_at FROM locked"
        );
        let query = sqlx::query(QUERY)
            .bind(id.to_string())
            .bind(user.to_string())
            .bind(self.pools.mode.now(now));
        let Some(row) = connection.optional(query).await? else { return Ok(None) };
        // TIMING: one clock decides for all nodes, whose own clocks differ.
        Ok(Some((rows::session(&row)?, rows::time(&row, "decided_at")?)))
    }
}

#[async_trait]
impl SessionStore for SqlSessions {
    fn keeps_users(&self) -> bool {
        self.has_users
    }

    async fn create(&self, session: &Session, most: u32) -> Result<Vec<SessionId>, StoreError> {
        self.pools
            .run(operation::CREATE, || async {
                // ATOMIC: under the user's lock, no concurrent call adds a session that the count misses.
                let mut connection = self.pools.begin().await?;
                dialect::lock_sessions(&mut connection, session.user).await?;
                insert(&mut connection, session).await?;
                let evicted = evict(&mut connection, session, most).await?;
                connection.commit().await?;
                Ok(evicted)
            })
            .await
    }

    async fn replace(&self, old: SessionId, new: &Session) -> Result<Replaced, StoreError> {
        const END: &str = concat!(
            "DELETE FROM goat_sessions WHERE id = $1 AND user_id = $2 AND idle_at > ",
            now!("$3")
        );
        self.pools
            .run(operation::REPLACE, || async {
                // ATOMIC: the deletion decides; without a commit, both statements are rolled back.
                let mut connection = self.pools.begin().await?;
                dialect::lock_sessions(&mut connection, new.user).await?;
                let query = sqlx::query(END)
                    .bind(old.to_string())
                    .bind(new.user.to_string())
                    .bind(self.pools.mode.now(new.last_used_at));
                if connection.execute(query).await? == 0 {
                    return Ok(Replaced::Missing);
                }
                insert(&mut connection, new).await?;
                connection.commit().await?;
                Ok(Replaced::Replaced)
            })
            .await
    }

    async fn find(&self, user: UserId, id: SessionId) -> Result<Option<SessionView>, StoreError> {
        const ALONE: &str = concat!(
            "SELECT ",
            session_columns!(),
            " FROM goat_sessions WHERE id = $1 AND user_id = $2"
        );
        const WITH_OWNER: &str = concat!(
            "SELECT ",
            session_columns!(),
            ", ",
            state_columns!(),
            " FROM goat_sessions LEFT JOIN goat_users ON goat_users.id = user_id \
             WHERE goat_sessions.id = $1 AND user_id = $2"
        );
        self.pools
            .run(operation::FIND, || async {
                let query = sqlx::query(if self.has_users { WITH_OWNER } else { ALONE });
                let mut connection = self.pools.read().await?;
                let row =
                    connection.optional(query.bind(id.to_string()).bind(user.to_string())).await?;
                let Some(row) = row else { return Ok(None) };
                let has_owner = self.has_users && row.try_get::<Option<&str>, _>("role")?.is_some();
                let owner = if has_owner { Some(rows::state(&row, user)?) } else { None };
                Ok(Some(SessionView { session: rows::session(&row)?, owner }))
            })
            .await
    }

    async fn rotate(&self, rotation: &Rotation) -> Result<Rotated, StoreError> {
        let &Rotation { user, session, presented, epoch, address, now, leeway, .. } = rotation;
        self.pools
            .run(operation::ROTATE, || async {
                // ATOMIC: the row is locked until the commit. A session that was ended in the meantime is
                // not found.
                let mut connection = self.pools.begin().await?;
                let locked = self.lock(&mut connection, user, session, now).await?;
                let Some((mut session, now)) = locked else { return Ok(Rotated::Unknown) };
                let rotated = match session.rotation_decision(presented, epoch, now, leeway) {
                    RotationDecision::Expired => return Ok(Rotated::Unknown),
                    RotationDecision::Replaced => return Ok(Rotated::Replaced),
                    RotationDecision::Repeat => return Ok(Rotated::Repeated(session)),
                    RotationDecision::Rotate => {
                        session.rotate(rotation.successor.clone(), now, address);
                        update_tokens(&mut connection, &session).await?;
                        Rotated::Rotated(session)
                    }
                    RotationDecision::Reuse => {
                        delete(&mut connection, session.user, session.id).await?;
                        Rotated::Reused(session)
                    }
                };
                connection.commit().await?;
                Ok(rotated)
            })
            .await
    }

    async fn replace_tokens(
        &self,
        user: UserId,
        replacement: &TokenReplacement,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.pools
            .run(operation::REPLACE_TOKENS, || async {
                // ATOMIC: as for a rotation, with which it competes.
                let mut connection = self.pools.begin().await?;
                let locked = self.lock(&mut connection, user, replacement.session, now).await?;
                let Some((mut session, now)) = locked else { return Ok(false) };
                if !session.replace_tokens(replacement, now) {
                    return Ok(false);
                }
                update_tokens(&mut connection, &session).await?;
                connection.commit().await?;
                Ok(true)
            })
            .await
    }

    async fn list(
        &self,
        user: UserId,
        epoch: SessionEpoch,
        now: Timestamp,
        page: PageRequest,
    ) -> Result<Page<Session>, StoreError> {
        // The total is in every row, so that a page is one statement.
        const PAGE: &str = concat!(
            "SELECT ",
            session_columns!(),
            ", (SELECT COUNT(*) FROM goat_sessions WHERE ",
            live_of_user!(),
            ") AS total FROM goat_sessions WHERE ",
            live_of_user!(),
            " ORDER BY created_at DESC, id DESC LIMIT $5 OFFSET $6"
        );
        const TOTAL: &str =
            concat!("SELECT COUNT(*) AS total FROM goat_sessions WHERE ", live_of_user!());
        let (user, kept) = (user.to_string(), epoch.kept.map(|session| session.to_string()));
        let now = self.pools.mode.now(now);
        let of_user = |query: &'static str| {
            sqlx::query(query)
                .bind(user.clone())
                .bind(now)
                .bind(signed(epoch.number))
                .bind(kept.clone())
        };
        self.pools
            .run(operation::LIST, || async {
                let listed =
                    of_user(PAGE).bind(i64::from(page.limit())).bind(signed(page.offset()));
                let mut connection = self.pools.read().await?;
                let rows = connection.all(listed).await?;
                let total = match rows.first() {
                    Some(row) => rows::count(row, "total")?,
                    None if page.offset() == 0 => 0,
                    // A page past the end.
                    None => rows::count(&connection.one(of_user(TOTAL)).await?, "total")?,
                };
                let items = rows.iter().map(rows::session).collect::<Result<_, _>>()?;
                Ok(Page { items, total })
            })
            .await
    }

    async fn revoke(
        &self,
        user: UserId,
        epoch: SessionEpoch,
        now: Timestamp,
        sessions: &[SessionId],
    ) -> Result<Revoked, StoreError> {
        // The liveness rule of `Session::is_live`.
        const QUERY: &str = concat!(
            "DELETE FROM goat_sessions WHERE id = $1 AND user_id = $2 AND idle_at > ",
            now!("$3"),
            " AND (epoch = $4 OR id = $5)"
        );
        self.pools
            .run(operation::REVOKE, || async {
                // ATOMIC: if one is missing, the transaction is dropped and so rolled back.
                let mut connection = self.pools.begin().await?;
                dialect::lock_sessions(&mut connection, user).await?;
                for id in sessions {
                    let query = sqlx::query(QUERY)
                        .bind(id.to_string())
                        .bind(user.to_string())
                        .bind(self.pools.mode.now(now))
                        .bind(signed(epoch.number))
                        .bind(epoch.kept.map(|session| session.to_string()));
                    if connection.execute(query).await? == 0 {
                        return Ok(Revoked::Missing);
                    }
                }
                connection.commit().await?;
                Ok(Revoked::All(sessions.len() as u64))
            })
            .await
    }

    async fn revoke_all(
        &self,
        user: UserId,
        epoch: SessionEpoch,
        now: Timestamp,
        kept: Option<SessionId>,
    ) -> Result<u64, StoreError> {
        const QUERY: &str = concat!(
            "DELETE FROM goat_sessions WHERE user_id = $1 AND id <> $2 RETURNING ",
            session_columns!(),
            ", ",
            now!("$3"),
            " AS decided_at"
        );
        self.pools
            .run(operation::REVOKE_ALL, || async {
                let mut connection = self.pools.begin().await?;
                dialect::lock_sessions(&mut connection, user).await?;
                let query = sqlx::query(QUERY)
                    .bind(user.to_string())
                    .bind(kept.map(|session| session.to_string()).unwrap_or_default())
                    .bind(self.pools.mode.now(now));
                let rows = connection.all(query).await?;
                connection.commit().await?;
                let was_live = |row: &Row| {
                    let (session, now) = (rows::session(row)?, rows::time(row, "decided_at")?);
                    Ok(session.is_live(epoch, now))
                };
                let live = rows.iter().map(was_live).collect::<Result<Vec<bool>, Failure>>()?;
                Ok(live.into_iter().filter(|&was_live| was_live).count() as u64)
            })
            .await
    }

    async fn end(&self, user: UserId, id: SessionId) -> Result<bool, StoreError> {
        self.pools
            .run(operation::END, || async {
                let mut connection = self.pools.begin().await?;
                let ended = delete(&mut connection, user, id).await?;
                connection.commit().await?;
                Ok(ended)
            })
            .await
    }

    async fn purge(&self, now: Timestamp, most: u32) -> Result<u64, StoreError> {
        const QUERY: &str = concat!(
            "WITH expired AS MATERIALIZED \
             (SELECT id FROM goat_sessions WHERE idle_at <= ",
            now!("$1"),
            " ORDER BY idle_at LIMIT $2",
            for_update_skip_locked!(),
            ") DELETE FROM goat_sessions WHERE id IN (SELECT id FROM expired)"
        );
        self.pools
            .run(operation::PURGE, || async {
                let query = sqlx::query(QUERY).bind(self.pools.mode.now(now)).bind(i64::from(most));
                let mut connection = self.pools.begin().await?;
                let deleted = connection.execute(query).await?;
                connection.commit().await?;
                Ok(deleted)
            })
            .await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.pools.run(operation::PING, || self.pools.ping()).await
    }
}

async fn insert(connection: &mut Connection<'_>, session: &Session) -> Result<(), Failure> {
    let query = "INSERT INTO goat_sessions (id, user_id, epoch, device, address, created_at, \
                 last_used_at, idle_at, ends_at, current_id, current_issued_at, \
                 current_expires_at, current_key, previous_id, previous_used_at, \
                 previous_used_from, methods, authenticated_at, multi_at, actor_id) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, \
                 $17, $18, $19, $20)";
    let query = sqlx::query(query)
        .bind(session.id.to_string())
        .bind(session.user.to_string())
        .bind(signed(session.epoch))
        // PostgreSQL text cannot contain NUL, and the text comes from a client.
        .bind(session.device.replace('\0', "\u{fffd}"))
        .bind(session.address.map(|address| address.to_string()))
        .bind(session.created_at.as_millis())
        .bind(session.last_used_at.as_millis())
        .bind(session.expires_at().as_millis())
        .bind(session.ends_at.as_millis())
        .bind(session.current.id.to_string())
        .bind(session.current.issued_at.as_millis())
        .bind(session.current.expires_at.as_millis())
        .bind(&session.current.key)
        .bind(session.previous.map(|previous| previous.id.to_string()))
        .bind(session.previous.map(|previous| previous.used_at.as_millis()))
        .bind(used_from(session))
        .bind(i64::from(session.methods.bits()))
        .bind(session.authenticated_at.as_millis())
        .bind(session.multi_at.map(Timestamp::as_millis))
        .bind(session.actor.map(|actor| actor.to_string()));
    connection.execute(query).await?;
    Ok(())
}

fn used_from(session: &Session) -> Option<String> {
    session.previous?.used_from.map(|address| address.to_string())
}

/// Evicts sessions above the limit: expired ones first, then the oldest.
async fn evict(
    connection: &mut Connection<'_>,
    kept: &Session,
    most: u32,
) -> Result<Vec<SessionId>, Failure> {
    let query = "DELETE FROM goat_sessions WHERE id IN (SELECT id FROM (\
                 SELECT id, ROW_NUMBER() OVER (ORDER BY \
                 CASE WHEN idle_at > $3 THEN 0 ELSE 1 END, created_at DESC, id DESC) AS place \
                 FROM goat_sessions WHERE user_id = $1 AND id <> $2) AS others \
                 WHERE place >= $4) RETURNING id";
    let query = sqlx::query(query)
        .bind(kept.user.to_string())
        .bind(kept.id.to_string())
        .bind(kept.created_at.as_millis())
        .bind(i64::from(most.max(1)));
    let rows = connection.all(query).await?;
    let id = |row: &Row| SessionId::parse(row.try_get("id")?).map_err(|_| Failure::Row("id"));
    rows.iter().map(id).collect()
}

async fn update_tokens(connection: &mut Connection<'_>, session: &Session) -> Result<(), Failure> {
    let query = "UPDATE goat_sessions SET last_used_at = $2, idle_at = $3, current_id = $4, \
                 current_issued_at = $5, current_expires_at = $6, current_key = $7, \
                 previous_id = $8, previous_used_at = $9, previous_used_from = $10, epoch = $11 \
                 WHERE id = $1";
    let query = sqlx::query(query)
        .bind(session.id.to_string())
        .bind(session.last_used_at.as_millis())
        .bind(session.expires_at().as_millis())
        .bind(session.current.id.to_string())
        .bind(session.current.issued_at.as_millis())
        .bind(session.current.expires_at.as_millis())
        .bind(&session.current.key)
        .bind(session.previous.map(|previous| previous.id.to_string()))
        .bind(session.previous.map(|previous| previous.used_at.as_millis()))
        .bind(used_from(session))
        .bind(signed(session.epoch));
    connection.execute(query).await?;
    Ok(())
}

async fn delete(
    connection: &mut Connection<'_>,
    user: UserId,
    id: SessionId,
) -> Result<bool, Failure> {
    let query = "DELETE FROM goat_sessions WHERE id = $1 AND user_id = $2";
    let query = sqlx::query(query).bind(id.to_string()).bind(user.to_string());
    Ok(connection.execute(query).await? > 0)
}
