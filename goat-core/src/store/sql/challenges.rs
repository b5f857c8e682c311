//! SQL challenge store.

use async_trait::async_trait;
use sqlx::Row as _;

use crate::challenge::{Challenge, Purpose, ServerKeyId, Subject};
use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::{ChallengeId, UserId};
use crate::secret::Secret;
use crate::store::ChallengeStore;
use crate::store::challenges::operation;
use crate::store::sql::failure::Failure;

use super::connection::Connection;
use super::database::Pools;
use super::dialect::{self, Row, for_update_skip_locked, now};
use super::rows::{self, signed};

/// A challenge of an id `$1` and a purpose `$2` that has not expired at `$3`.
macro_rules! unexpired {
    () => {
        concat!("id = $1 AND purpose = $2 AND expires_at > ", now!("$3"))
    };
}

/// The challenges of a database.
#[derive(Debug)]
pub(super) struct SqlChallenges {
    pools: Pools,
}

impl SqlChallenges {
    pub(super) fn new(pools: Pools) -> Self {
        Self { pools }
    }
}

#[async_trait]
impl ChallengeStore for SqlChallenges {
    async fn put(
        &self,
        challenge: &Challenge,
        subject: &Subject,
        live: u32,
    ) -> Result<(), StoreError> {
        self.pools
            .run(operation::PUT, || async {
                // ATOMIC: under the subject's lock, no concurrent call adds one that the count misses.
                let mut connection = self.pools.begin().await?;
                dialect::lock_challenges(&mut connection, subject).await?;
                insert(&mut connection, challenge, subject).await?;
                trim(&mut connection, challenge, subject, live).await?;
                connection.commit().await?;
                Ok(())
            })
            .await
    }

    async fn find(
        &self,
        id: ChallengeId,
        purpose: Purpose,
        now: Timestamp,
    ) -> Result<Option<Challenge>, StoreError> {
        const QUERY: &str = concat!(
            "SELECT id, purpose, user_id, epoch, link, code, code_key, attempts_left, made_at, \
             expires_at, payload FROM goat_challenges WHERE ",
            unexpired!()
        );
        self.pools
            .run(operation::FIND, || async {
                let query = sqlx::query(QUERY)
                    .bind(id.to_string())
                    .bind(purpose.as_str())
                    .bind(self.pools.mode.now(now));
                let row = self.pools.read().await?.optional(query).await?;
                row.as_ref().map(challenge).transpose()
            })
            .await
    }

    async fn is_pending(
        &self,
        purpose: Purpose,
        subject: &Subject,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        const QUERY: &str = concat!(
            "SELECT id FROM goat_challenges WHERE subject = $1 AND purpose = $2 \
             AND attempts_left > 0 AND expires_at > ",
            now!("$3"),
            " LIMIT 1"
        );
        self.pools
            .run(operation::IS_PENDING, || async {
                let query = sqlx::query(QUERY)
                    .bind(subject.as_str())
                    .bind(purpose.as_str())
                    .bind(self.pools.mode.now(now));
                Ok(self.pools.read().await?.optional(query).await?.is_some())
            })
            .await
    }

    async fn attempt(
        &self,
        id: ChallengeId,
        purpose: Purpose,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        const QUERY: &str = concat!(
            "UPDATE goat_challenges SET attempts_left = attempts_left - 1 \
             WHERE attempts_left > 0 AND ",
            unexpired!()
        );
        self.pools
            .run(operation::ATTEMPT, || async {
                let query = sqlx::query(QUERY)
                    .bind(id.to_string())
                    .bind(purpose.as_str())
                    .bind(self.pools.mode.now(now));
                let mut connection = self.pools.begin().await?;
                let count = connection.execute(query).await?;
                connection.commit().await?;
                Ok(count > 0)
            })
            .await
    }

    async fn take(&self, id: ChallengeId) -> Result<bool, StoreError> {
        self.pools
            .run(operation::TAKE, || async {
                let query = sqlx::query("DELETE FROM goat_challenges WHERE id = $1");
                let mut connection = self.pools.begin().await?;
                let count = connection.execute(query.bind(id.to_string())).await?;
                connection.commit().await?;
                Ok(count > 0)
            })
            .await
    }

    async fn remove_all(
        &self,
        user: UserId,
        keep: Option<(Purpose, Timestamp)>,
    ) -> Result<u64, StoreError> {
        const QUERY: &str = "DELETE FROM goat_challenges WHERE user_id = $1 \
                             AND NOT (purpose = $2 AND made_at < $3)";
        let (purpose, at) =
            keep.map_or(("", 0), |(purpose, at)| (purpose.as_str(), at.as_millis()));
        self.pools
            .run(operation::REMOVE_ALL, || async {
                let query = sqlx::query(QUERY).bind(user.to_string()).bind(purpose).bind(at);
                let mut connection = self.pools.begin().await?;
                let count = connection.execute(query).await?;
                connection.commit().await?;
                Ok(count)
            })
            .await
    }

    async fn purge(&self, now: Timestamp, most: u32) -> Result<u64, StoreError> {
        const QUERY: &str = concat!(
            "WITH expired AS MATERIALIZED \
             (SELECT id FROM goat_challenges WHERE expires_at <= ",
            now!("$1"),
            " ORDER BY expires_at LIMIT $2",
            for_update_skip_locked!(),
            ") DELETE FROM goat_challenges WHERE id IN (SELECT id FROM expired)"
        );
        self.pools
            .run(operation::PURGE, || async {
                let query = sqlx::query(QUERY).bind(self.pools.mode.now(now)).bind(i64::from(most));
                let mut connection = self.pools.begin().await?;
                let count = connection.execute(query).await?;
                connection.commit().await?;
                Ok(count)
            })
            .await
    }
}

async fn insert(
    connection: &mut Connection<'_>,
    challenge: &Challenge,
    subject: &Subject,
) -> Result<(), Failure> {
    let query = "INSERT INTO goat_challenges (id, purpose, subject, user_id, epoch, link, code, code_key, \
                 attempts_left, made_at, expires_at, payload) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    let (key, code) = challenge.code.clone().unzip();
    let query = sqlx::query(query)
        .bind(challenge.id.to_string())
        .bind(challenge.purpose.as_str())
        .bind(subject.as_str().to_owned())
        .bind(challenge.user.map(|user| user.to_string()))
        .bind(signed(challenge.epoch))
        .bind(challenge.link.map(Vec::from))
        .bind(code.map(Vec::from))
        .bind(key.map(|key| key.as_str().to_owned()))
        .bind(i64::from(challenge.attempts_left))
        .bind(challenge.made_at.as_millis())
        .bind(challenge.expires_at.as_millis())
        .bind(challenge.payload.expose().clone());
    connection.execute(query).await?;
    Ok(())
}

/// Removes the oldest challenges of the purpose and subject above the limit, beside the new one.
async fn trim(
    connection: &mut Connection<'_>,
    new: &Challenge,
    subject: &Subject,
    live: u32,
) -> Result<(), Failure> {
    let query = "DELETE FROM goat_challenges WHERE id IN (SELECT id FROM (\
                 SELECT id, ROW_NUMBER() OVER (ORDER BY made_at DESC, id DESC) AS place \
                 FROM goat_challenges WHERE purpose = $1 AND subject = $2 AND id <> $3) AS others \
                 WHERE place >= $4)";
    let query = sqlx::query(query)
        .bind(new.purpose.as_str())
        .bind(subject.as_str().to_owned())
        .bind(new.id.to_string())
        .bind(i64::from(live.max(1)));
    connection.execute(query).await?;
    Ok(())
}

/// Decodes a challenge.
fn challenge(row: &Row) -> Result<Challenge, Failure> {
    let hash = |column: &'static str| {
        let bytes: Option<Vec<u8>> = row.try_get(column)?;
        let hash = bytes.map(|bytes| <[u8; 32]>::try_from(bytes).map_err(|_| Failure::Row(column)));
        hash.transpose()
    };
    let key: Option<&str> = row.try_get("code_key")?;
    let key = key.map(|key| ServerKeyId::parse(key).ok_or(Failure::Row("code_key"))).transpose()?;
    let attempts = rows::count(row, "attempts_left")?;
    let payload: Vec<u8> = row.try_get("payload")?;
    let user: Option<&str> = row.try_get("user_id")?;
    let user = user.map(UserId::parse).transpose().map_err(|_| Failure::Row("user_id"))?;
    Ok(Challenge {
        id: ChallengeId::parse(row.try_get("id")?).map_err(|_| Failure::Row("id"))?,
        purpose: Purpose::parse(row.try_get("purpose")?).ok_or(Failure::Row("purpose"))?,
        user,
        epoch: rows::count(row, "epoch")?,
        link: hash("link")?,
        code: key.zip(hash("code")?),
        attempts_left: u8::try_from(attempts).map_err(|_| Failure::Row("attempts_left"))?,
        made_at: rows::time(row, "made_at")?,
        expires_at: rows::time(row, "expires_at")?,
        payload: Secret::new(payload),
    })
}
