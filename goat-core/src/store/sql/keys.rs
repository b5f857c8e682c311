//! SQL store of API keys.

use async_trait::async_trait;
use sqlx::Row as _;

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::{KeyId, UserId};
use crate::key::{Key, StoredKey};
use crate::page::{Page, PageRequest};
use crate::store::keys::operation;
use crate::store::sql::failure::Failure;
use crate::store::{Created, KeyStore, KeyView};

use super::connection::Connection;
use super::database::Pools;
use super::dialect::{self, for_key_share};
use super::rows::{self, key_columns, signed, state_columns};

/// The keys of a database.
#[derive(Debug)]
pub(super) struct SqlKeys {
    pools: Pools,
    /// Whether users are kept in the same database.
    has_users: bool,
}

impl SqlKeys {
    pub(super) fn with_users(pools: Pools) -> Self {
        Self { pools, has_users: true }
    }

    pub(super) fn without_users(pools: Pools) -> Self {
        Self { pools, has_users: false }
    }
}

#[async_trait]
impl KeyStore for SqlKeys {
    async fn create(&self, stored: &StoredKey, most: u32) -> Result<Created, StoreError> {
        self.pools
            .run(operation::CREATE, || async {
                // ATOMIC: under the owner's lock, no concurrent call adds a key that the count misses.
                let mut connection = self.pools.begin().await?;
                dialect::lock_keys(&mut connection, stored.key.owner).await?;
                let query = "SELECT COUNT(*) AS total FROM goat_keys WHERE owner_id = $1";
                let query = sqlx::query(query).bind(stored.key.owner.to_string());
                if rows::count(&connection.one(query).await?, "total")? >= u64::from(most) {
                    return Ok(Created::TooMany);
                }
                insert(&mut connection, stored).await?;
                connection.commit().await?;
                Ok(Created::Created)
            })
            .await
    }

    async fn find(&self, id: KeyId) -> Result<Option<KeyView>, StoreError> {
        const ALONE: &str =
            concat!("SELECT ", key_columns!(), " FROM goat_keys WHERE goat_keys.id = $1");
        const WITH_OWNER: &str = concat!(
            "SELECT ",
            key_columns!(),
            ", ",
            state_columns!(),
            " FROM goat_keys LEFT JOIN goat_users ON goat_users.id = owner_id \
             WHERE goat_keys.id = $1"
        );
        self.pools
            .run(operation::FIND, || async {
                let query = sqlx::query(if self.has_users { WITH_OWNER } else { ALONE });
                let mut connection = self.pools.read().await?;
                let row = connection.optional(query.bind(id.to_string())).await?;
                let Some(row) = row else { return Ok(None) };
                let stored = rows::stored_key(&row)?;
                let has_owner = self.has_users && row.try_get::<Option<&str>, _>("role")?.is_some();
                let owner =
                    if has_owner { Some(rows::state(&row, stored.key.owner)?) } else { None };
                Ok(Some(KeyView { stored, owner }))
            })
            .await
    }

    async fn list(&self, owner: UserId, page: PageRequest) -> Result<Page<Key>, StoreError> {
        // The total is in every row, so that a page is one statement.
        const PAGE: &str = concat!(
            "SELECT ",
            key_columns!(),
            ", (SELECT COUNT(*) FROM goat_keys WHERE owner_id = $1) AS total \
             FROM goat_keys WHERE owner_id = $1 ORDER BY created_at DESC, id DESC \
             LIMIT $2 OFFSET $3"
        );
        const TOTAL: &str = "SELECT COUNT(*) AS total FROM goat_keys WHERE owner_id = $1";
        self.pools
            .run(operation::LIST, || async {
                let listed = sqlx::query(PAGE)
                    .bind(owner.to_string())
                    .bind(i64::from(page.limit()))
                    .bind(signed(page.offset()));
                let mut connection = self.pools.read().await?;
                let found = connection.all(listed).await?;
                let total = match found.first() {
                    Some(row) => rows::count(row, "total")?,
                    None if page.offset() == 0 => 0,
                    // A page past the end.
                    None => {
                        let query = sqlx::query(TOTAL).bind(owner.to_string());
                        rows::count(&connection.one(query).await?, "total")?
                    }
                };
                let key = |row| rows::stored_key(row).map(|stored| stored.key);
                let items = found.iter().map(key).collect::<Result<_, _>>()?;
                Ok(Page { items, total })
            })
            .await
    }

    async fn revoke(&self, owner: UserId, id: KeyId) -> Result<bool, StoreError> {
        const QUERY: &str = "DELETE FROM goat_keys WHERE id = $1 AND owner_id = $2";
        self.pools
            .run(operation::REVOKE, || async {
                let query = sqlx::query(QUERY).bind(id.to_string()).bind(owner.to_string());
                let mut connection = self.pools.begin().await?;
                let deleted = connection.execute(query).await?;
                connection.commit().await?;
                Ok(deleted > 0)
            })
            .await
    }

    async fn revoke_all(&self, owner: Option<UserId>) -> Result<u64, StoreError> {
        self.pools
            .run(operation::REVOKE_ALL, || async {
                let mut connection = self.pools.begin().await?;
                let deleted = match owner {
                    Some(owner) => delete_of(&mut connection, owner).await?,
                    None => {
                        // A write by an actor holds the guard, and locks keys in an order of its own.
                        dialect::lock_guard(&mut connection).await?;
                        connection.execute(sqlx::query("DELETE FROM goat_keys")).await?
                    }
                };
                connection.commit().await?;
                Ok(deleted)
            })
            .await
    }

    async fn used(&self, uses: &[(KeyId, Timestamp)]) -> Result<(), StoreError> {
        const QUERY: &str = "UPDATE goat_keys SET last_used_at = $2 \
                             WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)";
        // In one order, so that concurrent calls do not lock rows crosswise.
        let mut uses = uses.to_vec();
        uses.sort_unstable();
        let uses = &uses;
        self.pools
            .run(operation::USED, || async {
                let mut connection = self.pools.begin().await?;
                for (id, at) in uses {
                    let query = sqlx::query(QUERY).bind(id.to_string()).bind(at.as_millis());
                    connection.execute(query).await?;
                }
                connection.commit().await
            })
            .await
    }
}

/// Whether a key is stored. It stays so until the end of the transaction.
pub(super) async fn lock(connection: &mut Connection<'_>, id: KeyId) -> Result<bool, Failure> {
    const QUERY: &str = concat!("SELECT id FROM goat_keys WHERE id = $1", for_key_share!());
    Ok(connection.optional(sqlx::query(QUERY).bind(id.to_string())).await?.is_some())
}

/// Deletes the keys of a user; returns how many.
pub(super) async fn delete_of(
    connection: &mut Connection<'_>,
    owner: UserId,
) -> Result<u64, sqlx::Error> {
    let query = "DELETE FROM goat_keys WHERE owner_id = $1";
    connection.execute(sqlx::query(query).bind(owner.to_string())).await
}

async fn insert(connection: &mut Connection<'_>, stored: &StoredKey) -> Result<(), sqlx::Error> {
    let query = "INSERT INTO goat_keys (id, owner_id, made_by, name, hash, scopes, created_at, \
                 expires_at, last_used_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let StoredKey { key, hash } = stored;
    let query = sqlx::query(query)
        .bind(key.id.to_string())
        .bind(key.owner.to_string())
        .bind(key.made_by.map(|user| user.to_string()).unwrap_or_default())
        .bind(&key.name)
        .bind(&hash.as_bytes()[..])
        .bind(key.scopes.stored())
        .bind(key.created_at.as_millis())
        .bind(key.expires_at.map(Timestamp::as_millis))
        .bind(key.last_used_at.map(Timestamp::as_millis));
    connection.execute(query).await?;
    Ok(())
}
