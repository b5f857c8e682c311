//! Signing key registry: detects nodes on one database that sign tokens with different keys.
//!
//! Each node periodically registers the id of its signing key. A recently registered key that a node
//! does not have means that the nodes are configured with different keys, and would reject each other's
//! tokens.

use std::time::Duration;

use sqlx::Row as _;

use crate::error::Result;
use crate::token::TokenKeys;

use super::PostgresDatabase;

/// The retention of a registration, long enough to investigate rejected tokens.
const RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

/// The current time in milliseconds, by the server's clock.
macro_rules! now {
    () => {
        "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
    };
}

/// What to do if another node signs with an unknown key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUnknownKey {
    /// Register this node's key anyway, so that the other nodes detect the mismatch too.
    Allow,
    /// Register nothing, since this node must not serve. Of several nodes that start at once with
    /// different keys, the first one registers.
    Refuse,
}

impl PostgresDatabase {
    /// Registers the signing key of this process, and returns the ids of keys that other nodes
    /// registered within `max_age` and that are not in `keys`.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the database does not respond.
    pub async fn register_signing_key(
        &self,
        keys: &TokenKeys,
        max_age: Duration,
        on_unknown: OnUnknownKey,
    ) -> Result<Vec<String>> {
        let registered = self.pools.run("register_signing_key", || async {
            let mut connection = self.pools.begin().await?;
            // ATOMIC: under the lock, no other node registers a key before the commit.
            connection.run("LOCK TABLE goat_signing_keys IN SHARE ROW EXCLUSIVE MODE").await?;
            let others =
                concat!("SELECT id FROM goat_signing_keys WHERE noted_at > ", now!(), " - $1");
            let others = connection.all(sqlx::query(others).bind(milliseconds(max_age))).await?;
            let others: Vec<String> =
                others.iter().map(|row| row.try_get("id")).collect::<Result<_, _>>()?;
            let unknown: Vec<String> =
                others.into_iter().filter(|id| !keys.ids().any(|known| known == id)).collect();
            if on_unknown == OnUnknownKey::Refuse && !unknown.is_empty() {
                return Ok(unknown);
            }
            let expire =
                concat!("DELETE FROM goat_signing_keys WHERE noted_at < ", now!(), " - $1");
            connection.execute(sqlx::query(expire).bind(milliseconds(RETENTION))).await?;
            let insert = concat!(
                "INSERT INTO goat_signing_keys (id, noted_at) VALUES ($1, ",
                now!(),
                ") ON CONFLICT (id) DO UPDATE SET noted_at = excluded.noted_at"
            );
            connection.execute(sqlx::query(insert).bind(keys.signing_key())).await?;
            connection.commit().await?;
            Ok(unknown)
        });
        Ok(registered.await?)
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
