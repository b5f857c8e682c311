//! What nodes remember together, in Redis: one hash a key, of the revision, the time and the value.
//!
//! Invariants:
//! - each call is one script on one key, by the server's clock;
//! - a key lives as long as the longest life that it was given, whatever lay there in between;
//! - a replica that takes over may have missed the last raise, and its clock may differ: then what
//!   is old is shown for the staleness and that difference at most.

use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use redis::Value;

use super::Keeper;
use super::client::{Again, Script};
use super::failure::Failure;
use crate::error::StoreError;
use crate::store::shared_cache::{Entry, Look, Shelf, ShelfKey, Stamp};

macro_rules! script {
    ($file:literal) => {
        LazyLock::new(|| {
            let parts = [include_str!("../clock.lua"), include_str!("known.lua")];
            Script::new([parts[0], parts[1], include_str!($file)].concat())
        })
    };
}

static LOOK: LazyLock<Script> = script!("get.lua");
static PUT: LazyLock<Script> = script!("put.lua");
static RAISE: LazyLock<Script> = script!("invalidate_below.lua");

/// A shelf in Redis.
#[derive(Clone, Debug)]
pub(super) struct RedisShelf {
    keeper: Keeper,
}

impl RedisShelf {
    pub(super) fn new(keeper: Keeper) -> Self {
        Self { keeper }
    }

    /// A user's state lies where their sessions do.
    fn key(&self, key: ShelfKey) -> Vec<u8> {
        let prefix = &self.keeper.prefix;
        match key {
            ShelfKey::User(user) => format!("{prefix}:{{{user}}}:u"),
            ShelfKey::Roles => format!("{prefix}:{{roles}}:r"),
        }
        .into_bytes()
    }

    /// Runs a script. To do twice what one of them does is to do it once.
    async fn run(
        &self,
        operation: &'static str,
        script: &Script,
        key: ShelfKey,
        arguments: &[&[u8]],
    ) -> Result<Value, StoreError> {
        self.keeper.link.script(operation, script, &self.key(key), arguments, Again::Yes).await
    }
}

/// Milliseconds, as scripts take them. A life that is not whole ends with its last whole one.
fn milliseconds(life: Duration) -> String {
    life.as_millis().to_string()
}

fn stamp(value: &Value) -> Option<Stamp> {
    let &Value::Int(milliseconds) = value else { return None };
    u64::try_from(milliseconds).ok().map(Stamp)
}

/// An entry, if one lies there and has all that belongs to it.
fn entry(fields: [Value; 3]) -> Option<Entry> {
    let [revision, read_at, value] = fields.map(|field| match field {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        _ => None,
    });
    Some(Entry {
        revision: revision?.parse().ok()?,
        read_at: Stamp(read_at?.parse().ok()?),
        value: value?,
    })
}

#[async_trait]
impl Shelf for RedisShelf {
    async fn look(&self, key: ShelfKey) -> Result<Look, StoreError> {
        const OPERATION: &str = "shelf.look";
        let answer = self.run(OPERATION, &LOOK, key, &[]).await?;
        let unreadable = || Failure::broken("a look was not answered").in_operation(OPERATION);
        let Value::Array(answer) = answer else { return Err(unreadable()) };
        let Ok([now, fields @ ..]) = <[Value; 4]>::try_from(answer) else {
            return Err(unreadable());
        };
        let now = stamp(&now).ok_or_else(unreadable)?;
        Ok(Look { entry: entry(fields), now })
    }

    async fn put(&self, key: ShelfKey, entry: &Entry, life: Duration) -> Result<bool, StoreError> {
        let Entry { revision, read_at, value } = entry;
        let (revision, read_at, life) =
            (revision.to_string(), read_at.0.to_string(), milliseconds(life));
        let arguments =
            [revision.as_bytes(), read_at.as_bytes(), life.as_bytes(), value.as_bytes()];
        Ok(self.run("shelf.put", &PUT, key, &arguments).await? == Value::Int(1))
    }

    async fn raise(&self, key: ShelfKey, revision: u64, life: Duration) -> Result<(), StoreError> {
        let (revision, life) = (revision.to_string(), milliseconds(life));
        let arguments = [revision.as_bytes(), life.as_bytes()];
        self.run("shelf.raise", &RAISE, key, &arguments).await?;
        Ok(())
    }
}
