//! In-memory users, role permissions and API keys behind one lock, so that a write sees them consistently.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::access::{Grant, Role, StoredRole};
use crate::clock::Timestamp;
use crate::error::{ErrorKind, StoreError};
use crate::id::{GrantId, KeyId, UserId};
use crate::key::StoredKey;
use crate::page::PAGE_REACH;
use crate::store::{Rehashed, UserChange, UserSnapshot, UserStore, UserWrite, UserWriteOutcome};
use crate::user::{Account, Sort, SortKey, User, UserFilter, UserPage, UserQuery, UserState};

/// In-memory users, role permissions and API keys. Not persistent.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), goat_core::StoreError> {
/// use goat_core::store::{UserStore, memory::MemoryDirectory};
///
/// let users = MemoryDirectory::default();
/// assert!(users.by_email("ann@example.org").await?.is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct MemoryDirectory {
    state: Mutex<State>,
}

/// Invariant: `emails` has exactly the canonical e-mail address of every account.
#[derive(Default)]
pub(super) struct State {
    accounts: HashMap<UserId, Account>,
    emails: HashMap<String, UserId>,
    pub(super) roles: BTreeMap<Role, StoredRole>,
    pub(super) grants: BTreeMap<GrantId, Grant>,
    pub(super) revision: u64,
    pub(super) keys: HashMap<KeyId, StoredKey>,
}

impl MemoryDirectory {
    /// Locks the state, also after a panic: only `decide` can panic, and it runs before any write.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryDirectory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MemoryDirectory")
    }
}

impl State {
    pub(super) fn state(&self, id: UserId) -> Option<UserState> {
        let Account { user, epoch, revision, .. } = self.accounts.get(&id)?;
        Some(UserState {
            user: user.clone(),
            epoch: *epoch,
            roles_revision: Some(self.revision),
            revision: *revision,
        })
    }

    fn has_active_user_in(&self, role: &Role, except: Option<UserId>) -> bool {
        let mut users = self.accounts.values().map(|account| &account.user);
        users.any(|user| user.administers(role) && Some(user.id) != except)
    }

    pub(super) fn users_in(&self, role: &Role) -> u64 {
        let users = self.accounts.values().filter(|account| account.user.role == *role);
        (users.count() as u64).min(PAGE_REACH)
    }

    fn write(&mut self, write: &UserWrite<'_>) -> UserWriteOutcome {
        let snapshot = UserSnapshot {
            actor: write.actor.and_then(|id| self.state(id)),
            has_key: write.key.map(|key| self.keys.contains_key(&key)),
            roles: write.actor.map(|_| self.rows()),
            has_assigned_role: write.assigns.map(|role| self.roles.contains_key(role)),
            target: self.accounts.get(&write.target).cloned(),
            others_administer: self.has_active_user_in(write.top_role, Some(write.target)),
        };
        let change = match (write.decide)(&snapshot) {
            Ok(change) => change,
            Err(kind) => return UserWriteOutcome::Refused(kind),
        };
        match (change, snapshot.target) {
            (UserChange::Put(after), before) => self.put(before, after),
            (UserChange::Nothing, Some(account)) => UserWriteOutcome::Unchanged(account),
            (UserChange::Delete, Some(account)) => {
                self.accounts.remove(&write.target);
                self.emails.remove(account.user.email.canonical());
                self.delete_keys(Some(write.target));
                UserWriteOutcome::Deleted(account)
            }
            (UserChange::Nothing | UserChange::Delete, None) => {
                UserWriteOutcome::Refused(ErrorKind::NotFound)
            }
        }
    }

    fn put(&mut self, before: Option<Account>, mut after: Account) -> UserWriteOutcome {
        after.revision = before.as_ref().map_or(0, |before| before.revision) + 1;
        let canonical = after.user.email.canonical();
        if self.emails.get(canonical).is_some_and(|holder| *holder != after.user.id) {
            return UserWriteOutcome::EmailTaken;
        }
        if let Some(before) = &before {
            self.emails.remove(before.user.email.canonical());
        }
        self.emails.insert(canonical.to_owned(), after.user.id);
        self.accounts.insert(after.user.id, after.clone());
        UserWriteOutcome::Changed { before, after }
    }

    fn list(&self, query: &UserQuery) -> UserPage {
        let filter = &query.filter;
        let users = self.accounts.values().map(|account| &account.user);
        let mut users: Vec<&User> = users.filter(|user| is_listed(user, query)).collect();
        let total = users.len() as u64;
        users.sort_by(|one, other| order(filter.sort, one, other));
        let start = match filter.after {
            None => usize::try_from(filter.page.offset()).unwrap_or(usize::MAX),
            Some(after) => {
                users.sort_by(|one, other| order(Sort::default(), one, other));
                let place = self.place(query, after);
                users.partition_point(|user| (user.created_at, user.id) >= place)
            }
        };
        let page = users.into_iter().skip(start).take(filter.page.limit() as usize);
        UserPage {
            users: page.cloned().collect(),
            total: total.min(PAGE_REACH),
            total_is_lower_bound: total > PAGE_REACH,
        }
    }

    /// Returns the position of a user in the default order.
    fn place(&self, query: &UserQuery, id: UserId) -> (Timestamp, UserId) {
        let seen = self.accounts.get(&id).filter(|account| is_visible(&account.user, query));
        (seen.map_or(id.made_at(), |account| account.user.created_at), id)
    }
}

fn is_visible(user: &User, query: &UserQuery) -> bool {
    Some(user.id) == query.except || !query.hidden_roles.contains(&user.role)
}

fn is_listed(user: &User, query: &UserQuery) -> bool {
    let UserFilter { roles, statuses, kind, search, .. } = &query.filter;
    is_visible(user, query)
        && (roles.is_empty() || roles.contains(&user.role))
        && (statuses.is_empty() || statuses.contains(&user.status))
        && kind.is_none_or(|kind| user.kind() == kind)
        && search.as_deref().is_none_or(|search| {
            user.email.canonical().starts_with(search) || user.email.domain().starts_with(search)
        })
}

fn order(sort: Sort, one: &User, other: &User) -> Ordering {
    let ascending = match sort.key {
        SortKey::CreatedAt => one.created_at.cmp(&other.created_at),
        SortKey::Email => one.email.canonical().cmp(other.email.canonical()),
        SortKey::LastLoginAt => one.last_login_at.cmp(&other.last_login_at),
    }
    .then(one.id.cmp(&other.id));
    if sort.descending { ascending.reverse() } else { ascending }
}

#[async_trait]
impl UserStore for MemoryDirectory {
    async fn by_email(&self, canonical: &str) -> Result<Option<Account>, StoreError> {
        let state = self.lock();
        Ok(state.emails.get(canonical).and_then(|id| state.accounts.get(id)).cloned())
    }

    async fn by_id(&self, id: UserId) -> Result<Option<Account>, StoreError> {
        Ok(self.lock().accounts.get(&id).cloned())
    }

    async fn state(&self, id: UserId) -> Result<Option<UserState>, StoreError> {
        Ok(self.lock().state(id))
    }

    async fn list(&self, query: &UserQuery) -> Result<UserPage, StoreError> {
        Ok(self.lock().list(query))
    }

    async fn write(&self, write: UserWrite<'_>) -> Result<UserWriteOutcome, StoreError> {
        Ok(self.lock().write(&write))
    }

    async fn signed_in(
        &self,
        id: UserId,
        at: Timestamp,
        rehashed: Option<Rehashed<'_>>,
    ) -> Result<Option<UserState>, StoreError> {
        let mut state = self.lock();
        let Some(account) = state.accounts.get_mut(&id) else { return Ok(None) };
        account.user.last_login_at = account.user.last_login_at.max(Some(at));
        if let Some(Rehashed { old, new }) = rehashed
            && account.password_hash.is_same_as(&old.into())
        {
            account.password_hash = new.into();
        }
        account.revision += 1;
        Ok(state.state(id))
    }

    async fn has_active_user_in(&self, role: &Role) -> Result<bool, StoreError> {
        Ok(self.lock().has_active_user_in(role, None))
    }

    async fn sample_hashes(&self, limit: u32) -> Result<Vec<String>, StoreError> {
        let state = self.lock();
        let hashes = state.accounts.values().map(|account| account.password_hash.expose().clone());
        Ok(hashes.take(limit as usize).collect())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
