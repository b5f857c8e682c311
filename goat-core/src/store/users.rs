//! The port of users.

use async_trait::async_trait;

use crate::access::{Permission, Role};
use crate::aged::Aged;
use crate::clock::Timestamp;
use crate::error::{ErrorKind, StoreError};
use crate::id::UserId;

use super::{Account, User, UserPage, UserQuery, UserState};

/// How many stored hashes a start looks at to tell whether it can verify them all, having the right
/// pepper for one: see [`UserStore::sample_hashes`].
pub const SAMPLED_HASHES: u32 = 100;

/// How many are looked at where none of those is a hash.
const SAMPLED_FURTHER: u32 = 10_000;

/// The stored hashes that a start looks at: [`SAMPLED_HASHES`] of them, and more where all of these
/// are texts of another kind, so that the hashes among many users without a password are found too.
///
/// # Errors
///
/// If the store does not answer.
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

/// Who acts, as the write's own transaction finds them.
#[derive(Clone, Debug)]
pub struct ActorView {
    /// Role, status and epoch.
    pub state: UserState,
    /// What the role may do, where the store keeps permissions too; else the role table decides.
    pub permissions: Option<Vec<Permission>>,
}

/// What a write reads inside its own transaction, before it decides.
#[derive(Clone, Debug)]
pub struct UserSnapshot {
    /// Who acts, if somebody does and still exists.
    pub actor: Option<ActorView>,
    /// The user to act on, if there is one.
    pub target: Option<Account>,
    /// Whether somebody other than the target is active in the top role.
    pub others_administer: bool,
}

/// What a write does to its target. `Nothing` and `Delete` need one: without it the write ends as
/// refused with [`ErrorKind::NotFound`].
#[derive(Clone, Debug)]
pub enum UserChange {
    /// Nothing: things are so already.
    Nothing,
    /// The target becomes this; it is made if there was none. The account's id is the target's.
    Put(Account),
    /// The target is no more.
    Delete,
}

/// A write: whom it concerns, and the rules that decide about it.
pub struct UserWrite<'a> {
    /// Who acts; none for the system itself, and where users act on themselves.
    pub actor: Option<UserId>,
    /// Whom the write concerns.
    pub target: UserId,
    /// The role whose active users administer the system.
    pub top_role: &'a Role,
    /// Decides from what the transaction read. Pure, quick, and may be called more than once.
    pub decide: &'a (dyn Fn(&UserSnapshot) -> Result<UserChange, ErrorKind> + Send + Sync),
}

/// How a write ended.
#[derive(Clone, Debug)]
pub enum UserWriteOutcome {
    /// The rules refused; nothing was written.
    Refused(ErrorKind),
    /// Another user has the e-mail address; nothing was written.
    EmailTaken,
    /// Things were so already; this is how they are.
    Unchanged(Account),
    /// The target is this now; `before` is what it was, if it was.
    Changed {
        /// What it was.
        before: Option<Account>,
        /// What it is.
        after: Account,
    },
    /// The target was this and is no more.
    Deleted(Account),
}

/// Where users are kept.
///
/// An implementer guarantees:
/// - reads see what was committed before they began;
/// - no two accounts share a canonical e-mail address;
/// - [`UserStore::write`] is one transaction: what `decide` saw still holds when the change is
///   committed, also against concurrent writes to the actor and to the set of administrators, and
///   either all of the change is kept or nothing;
/// - what was answered survives a crash, and a call that is dropped did all or nothing.
#[async_trait]
pub trait UserStore: std::fmt::Debug + Send + Sync {
    /// The account behind a canonical e-mail address. One read.
    async fn by_email(&self, canonical: &str) -> Result<Option<Account>, StoreError>;

    /// The account behind an id. One read.
    async fn by_id(&self, id: UserId) -> Result<Option<Account>, StoreError>;

    /// What decides whether the user's sessions are good. One read.
    async fn state(&self, id: UserId) -> Result<Option<UserState>, StoreError>;

    /// As [`UserStore::state`], from wherever it can be had cheaply, and so old as the answer says.
    /// A write is seen as soon as it was answered, unless whoever wrote could not reach the place
    /// where states are remembered. Who must be sure asks [`UserStore::state`].
    async fn cached_state(&self, id: UserId) -> Result<Aged<Option<UserState>>, StoreError> {
        Ok(Aged::now(self.state(id).await?))
    }

    /// Somebody wrote the user without this port. Whoever remembers states beside the store forgets
    /// this one, so that what [`UserStore::cached_state`] answers from now on was read from now on;
    /// a store that remembers nothing has nothing to do.
    async fn invalidate(&self, id: UserId) -> Result<(), StoreError> {
        let _ = id;
        Ok(())
    }

    /// A page of users.
    ///
    /// A list goes on after somebody who is gone, or hidden from the caller, at the time that their id
    /// was made for: [`UserId::made_at`]. So that this is where they stood, a store of people whom
    /// goat did not make gives them ids by [`UserId::generate`] for their `created_at`, to the
    /// millisecond; with other ids, whoever goes through a list while people are deleted may miss
    /// some, or meet them again.
    async fn list(&self, query: &UserQuery) -> Result<UserPage, StoreError>;

    /// Reads, decides and writes in one transaction.
    async fn write(&self, write: UserWrite<'_>) -> Result<UserWriteOutcome, StoreError>;

    /// Notes that the user signed in, and replaces the password's hash by a newer one of the same
    /// password if nobody changed it in the meantime. Touches nothing else. Answers the user as it
    /// is now, if there still is one.
    async fn signed_in(
        &self,
        id: UserId,
        at: Timestamp,
        rehashed: Option<Rehashed<'_>>,
    ) -> Result<Option<User>, StoreError>;

    /// Whether somebody is active in this role.
    async fn has_active_user_in(&self, role: &Role) -> Result<bool, StoreError>;

    /// Some stored password hashes, so that a start can tell whether they can be verified at all:
    /// it asks for [`SAMPLED_HASHES`].
    async fn sample_hashes(&self, limit: u32) -> Result<Vec<String>, StoreError>;

    /// Whether the store answers. Bounded in time by the caller.
    async fn ping(&self) -> Result<(), StoreError>;
}

/// A newer hash of the same password.
#[derive(Clone, Copy)]
pub struct Rehashed<'a> {
    /// The hash that was verified.
    pub old: &'a str,
    /// The hash to keep instead, if the old one is still there.
    pub new: &'a str,
}

impl std::fmt::Debug for Rehashed<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Rehashed([redacted])")
    }
}

impl std::fmt::Debug for UserWrite<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("UserWrite")
            .field("actor", &self.actor)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}
