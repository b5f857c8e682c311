//! What the nodes on one database know of one another's keys.
//!
//! Each node notes now and then with which key it signs. A key that was noted lately and that a node
//! does not know is a mistake that would otherwise show as every other request being refused: the
//! nodes were given different keys.

use std::time::Duration;

use sqlx::Row as _;

use crate::error::Result;
use crate::store::sql::failure::Failure;
use crate::token::TokenKeys;

use super::PostgresDatabase;
use super::dialect::store_error;

/// For how long a note is kept: long enough to be found by whoever looks why tokens were refused.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// The present in milliseconds, by the one clock that all nodes share.
macro_rules! now {
    () => {
        "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
    };
}

/// What to do where others sign with a key that is not known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUnknownKey {
    /// Note one's own all the same, so that the others find out too.
    Allow,
    /// Note nothing: this node is not to serve. Of several that begin at once with keys of their
    /// own, the first is noted.
    Refuse,
}

impl PostgresDatabase {
    /// Notes with which key this process signs, and answers the ids of those with which others have
    /// signed by their own note within `lately`, and that are not among `keys`.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the database does not answer.
    pub async fn register_signing_key(
        &self,
        keys: &TokenKeys,
        lately: Duration,
        strange: OnUnknownKey,
    ) -> Result<Vec<String>> {
        let noted = async {
            let mut connection = self.pools.begin().await?;
            // ATOMIC: nobody else notes between the look and the commit.
            connection.run("LOCK TABLE goat_signing_keys IN SHARE ROW EXCLUSIVE MODE").await?;
            let others =
                concat!("SELECT id FROM goat_signing_keys WHERE noted_at > ", now!(), " - $1");
            let others = connection.all(sqlx::query(others).bind(milliseconds(lately))).await?;
            let others: Vec<String> =
                others.iter().map(|row| row.try_get("id")).collect::<Result<_, _>>()?;
            let unknown: Vec<String> =
                others.into_iter().filter(|id| !keys.ids().any(|known| known == id)).collect();
            if strange == OnUnknownKey::Refuse && !unknown.is_empty() {
                return Ok(unknown);
            }
            let old = concat!("DELETE FROM goat_signing_keys WHERE noted_at < ", now!(), " - $1");
            connection.execute(sqlx::query(old).bind(milliseconds(KEPT))).await?;
            let note = concat!(
                "INSERT INTO goat_signing_keys (id, noted_at) VALUES ($1, ",
                now!(),
                ") ON CONFLICT (id) DO UPDATE SET noted_at = excluded.noted_at"
            );
            connection.execute(sqlx::query(note).bind(keys.signing_key())).await?;
            connection.commit().await?;
            Ok::<_, Failure>(unknown)
        };
        Ok(noted.await.map_err(store_error("register_signing_key"))?)
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
