//! User store port.

use std::fmt;

use async_trait::async_trait;

use crate::access::{Role, RoleRows};
use crate::clock::Timestamp;
use crate::error::{ErrorKind, StoreError};
use crate::id::{KeyId, UserId};
#[cfg(doc)]
use crate::user::User;
use crate::user::{Account, UserPage, UserQuery, UserState};

use super::{Aged, StoreTransaction};

/// How many stored hashes are sampled at start to check that they can be verified, with the right
/// pepper for one: see [`UserStore::sample_hashes`].
pub const SAMPLED_HASHES: u32 = 100;

/// How many are sampled if none of the first ones is a hash.
const SAMPLED_FURTHER: u32 = 10_000;

/// Returns the sample of stored hashes that is checked at start: [`SAMPLED_HASHES`], and more if none
/// of these is readable, so that the hashes among many users without a password are found too.
///
/// # Errors
///
/// If the store is unavailable.
pub async fn sampled_hashes(
    users: &dyn UserStore,
    is_readable: impl Fn(&str) -> bool + Send + Sync,
) -> Result<Vec<String>, StoreError> {
    let hashes = users.sample_hashes(SAMPLED_HASHES).await?;
    let are_all = hashes.len() < SAMPLED_HASHES as usize;
    if are_all || hashes.iter().any(|hash| is_readable(hash)) {
        return Ok(hashes);
    }
    users.sample_hashes(SAMPLED_FURTHER).await
}

/// The state that a write reads inside its own transaction and decides on.
#[derive(Clone, Debug)]
pub struct UserSnapshot {
    /// The actor, if the write has one and the user still exists.
    pub actor: Option<UserState>,
    /// Whether the API key of the write is stored, which then no other call revokes before this one commits.
    /// `None` of a write without one, and where the store does not keep keys.
    pub has_key: Option<bool>,
    /// The roles and grants, in a write by an actor where the store keeps them too; otherwise the role
    /// table decides.
    pub roles: Option<RoleRows>,
    /// Whether the role that the write assigns is stored, which then no other write deletes before this
    /// one commits. `None` of a write that assigns none, and where the store does not keep roles.
    pub has_assigned_role: Option<bool>,
    /// The target, if it exists.
    pub target: Option<Account>,
    /// Whether a user other than the target [administers](User::administers).
    pub others_administer: bool,
}

/// The change that a write makes to its target. `Nothing` and `Delete` need a target: without one the
/// write is refused with [`ErrorKind::NotFound`].
#[expect(
    clippy::large_enum_variant,
    reason = "made once a write, and an account is moved only once"
)]
#[derive(Clone, Debug)]
pub enum UserChange {
    /// No change.
    Nothing,
    /// Updates the target to this account, or creates it. The account has the target's id.
    Put(Account),
    /// Deletes the target.
    Delete,
}

/// A write: its actor, its target, and the rule that decides on the change.
pub struct UserWrite<'a> {
    /// The acting user; `None` for the system, and for changes by the user itself.
    pub actor: Option<UserId>,
    /// The API key by which the actor acts, or the user itself.
    pub key: Option<KeyId>,
    /// The user to change.
    pub target: UserId,
    /// The role of administrators.
    pub top_role: &'a Role,
    /// The role that the change gives to the target, where roles are stored and the target may not have
    /// it yet.
    pub assigns: Option<&'a Role>,
    /// Decides on the change from the state that the transaction read. Pure and fast; may be called
    /// more than once.
    pub decide: &'a (dyn Fn(&UserSnapshot) -> Result<UserChange, ErrorKind> + Send + Sync),
}

impl fmt::Debug for UserWrite<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("UserWrite")
            .field("actor", &self.actor)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

/// The outcome of a write.
#[expect(
    clippy::large_enum_variant,
    reason = "made once a write, and an account is moved only once"
)]
#[derive(Clone, Debug)]
pub enum UserWriteOutcome {
    /// The rule rejected the write; nothing changed.
    Refused(ErrorKind),
    /// Another user has the e-mail address; nothing changed.
    EmailTaken,
    /// The rule requested no change; contains the current account.
    Unchanged(Account),
    /// The target was created or updated.
    Changed {
        /// The account before the write; `None` if it was created.
        before: Option<Account>,
        /// The account after the write.
        after: Account,
    },
    /// The target was deleted; the account before the write.
    Deleted(Account),
}

/// The port to users.
///
/// An implementer guarantees:
/// - reads see everything that was committed before they began;
/// - no two accounts share a canonical e-mail address;
/// - [`UserStore::write`] is one transaction: the snapshot that `decide` saw still holds when the
///   change commits, also against concurrent writes to the actor, to its API key, to its grants, to the
///   assigned role and to the set of administrators, and the change commits as a whole or not at all;
/// - a completed write survives a crash, and a dropped call took effect completely or not at all.
#[async_trait]
pub trait UserStore: fmt::Debug + Send + Sync {
    /// Returns the account with a canonical e-mail address. One read.
    async fn by_email(&self, canonical: &str) -> Result<Option<Account>, StoreError>;

    /// Returns the account with an id. One read.
    async fn by_id(&self, id: UserId) -> Result<Option<Account>, StoreError>;

    /// Returns the user with the state that decides which sessions are live. One read.
    async fn state(&self, id: UserId) -> Result<Option<UserState>, StoreError>;

    /// Like [`UserStore::state`], from a cache where there is one; the result carries its age. It
    /// reflects every completed write, unless the writer could not reach the cache. Use
    /// [`UserStore::state`] where that does not suffice.
    async fn cached_state(&self, id: UserId) -> Result<Aged<Option<UserState>>, StoreError> {
        Ok(Aged::now(self.state(id).await?))
    }

    /// Invalidates cached states of a user that was written without this port: a later
    /// [`UserStore::cached_state`] returns a state that was read after this call. Does nothing in a
    /// store without a cache.
    async fn invalidate(&self, id: UserId) -> Result<(), StoreError> {
        let _ = id;
        Ok(())
    }

    /// Returns a page of users.
    ///
    /// A list continues after a deleted or hidden user at the time in the user's id:
    /// [`UserId::made_at`]. For this to be the user's position, a store with users that goat did not
    /// create gives them ids by [`UserId::generate`] for their `created_at`, to the millisecond; with
    /// other ids, a client that pages through the list during deletions may miss or repeat users.
    async fn list(&self, query: &UserQuery) -> Result<UserPage, StoreError>;

    /// Reads, decides and writes in one transaction.
    async fn write(&self, write: UserWrite<'_>) -> Result<UserWriteOutcome, StoreError>;

    /// Like [`UserStore::write`], within a transaction of the application: the change commits with it. The
    /// snapshot that `decide` saw holds until then; a write that changes nothing leaves the transaction
    /// usable. The default cannot join one.
    async fn write_in(
        &self,
        transaction: &mut StoreTransaction<'_>,
        write: UserWrite<'_>,
    ) -> Result<UserWriteOutcome, StoreError> {
        let _ = (transaction, write);
        let cause = "the user store cannot join a transaction of the application";
        Err(StoreError::broken(operation::WRITE_IN).with_source(cause))
    }

    /// Records a login, and replaces the password hash by a newer one of the same password unless it
    /// was changed in the meantime. Raises the revision, and changes nothing else. Returns the state after
    /// it, if the user exists.
    async fn signed_in(
        &self,
        id: UserId,
        at: Timestamp,
        rehashed: Option<Rehashed<'_>>,
    ) -> Result<Option<UserState>, StoreError>;

    /// Whether a person is active in this role; service accounts do not count.
    async fn has_active_user_in(&self, role: &Role) -> Result<bool, StoreError>;

    /// Returns some stored password hashes, so that a start can check that they can be verified; it
    /// passes [`SAMPLED_HASHES`].
    async fn sample_hashes(&self, limit: u32) -> Result<Vec<String>, StoreError>;

    /// Checks that the store responds, over a connection of its own that no other call can exhaust. The
    /// caller bounds the time, and makes one such call at a time.
    async fn ping(&self) -> Result<(), StoreError>;
}

/// A newer hash of the same password.
#[derive(Clone, Copy)]
pub struct Rehashed<'a> {
    /// The hash that was verified.
    pub old: &'a str,
    /// The hash that replaces it, if it is still stored.
    pub new: &'a str,
}

impl fmt::Debug for Rehashed<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Rehashed([redacted])")
    }
}

/// Operation names of [`UserStore`], as errors and metrics report them.
pub(crate) mod operation {
    pub(crate) const BY_EMAIL: &str = "users.by_email";
    pub(crate) const BY_ID: &str = "users.by_id";
    pub(crate) const STATE: &str = "users.state";
    pub(crate) const CACHED_STATE: &str = "users.cached_state";
    pub(crate) const INVALIDATE: &str = "users.invalidate";
    pub(crate) const LIST: &str = "users.list";
    pub(crate) const WRITE: &str = "users.write";
    pub(crate) const WRITE_IN: &str = "users.write_in";
    pub(crate) const SIGNED_IN: &str = "users.signed_in";
    pub(crate) const HAS_ACTIVE_USER_IN: &str = "users.has_active_user_in";
    pub(crate) const SAMPLE_HASHES: &str = "users.sample_hashes";
    pub(crate) const PING: &str = "users.ping";
}
