//! What an application may ask about users. Here: to see them.

mod admin;
mod own;
mod write;

use std::sync::Arc;

use crate::access::{ActorFacts, Permission, Principal, permissions};
use crate::detached::run_to_completion;
use crate::error::{ErrorKind, Result};
use crate::id::UserId;

pub use admin::{NewUser, UserUpdate};
pub(crate) use write::Inner;

use super::list::canonical_search;
use super::{Account, Email, Status, User, UserFilter, UserPage, UserQuery};

/// Users: seen, made, changed, deleted.
#[derive(Clone, Debug)]
pub struct Users {
    inner: Arc<Inner>,
}

/// A user, with what they may do.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The user.
    pub user: User,
    /// What the user's role may do, in alphabetical order.
    pub permissions: Vec<Permission>,
}

impl Users {
    pub(crate) fn new(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// The caller, and what they may do.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SessionRevoked`] if the user is gone; or if a store does not answer.
    pub async fn profile(&self, principal: &Principal) -> Result<Profile> {
        let account = self.inner.own_account(principal).await?;
        let (table, _) = self.inner.access.table(None).await?;
        let known = self.inner.access.policy().roles().contains(&account.user.role);
        let permissions = if known { table.permissions(&account.user.role) } else { Vec::new() };
        Ok(Profile { user: account.user, permissions })
    }

    /// A page of the users whom the caller may act on, and the caller.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `user:read`; or if the store does not answer.
    pub async fn list(&self, principal: &Principal, mut filter: UserFilter) -> Result<UserPage> {
        need(principal, &permissions::USER_READ)?;
        let policy = self.inner.access.policy();
        let rank = policy.roles().rank(principal.role());
        let hidden = policy.roles().iter().filter(|role| !policy.outranks(rank, role));
        let hidden_roles = hidden.cloned().collect();
        filter.search = filter.search.as_deref().map(canonical_search);
        let query = UserQuery { filter, hidden_roles, except: Some(principal.user()) };
        Ok(self.inner.users.list(&query).await?)
    }

    /// One user: oneself, or somebody whom the caller may act on.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `user:read`, [`ErrorKind::NotFound`],
    /// [`ErrorKind::Outranked`]; or if the store does not answer.
    pub async fn find(&self, principal: &Principal, id: UserId) -> Result<User> {
        need(principal, &permissions::USER_READ)?;
        let account = self.inner.users.by_id(id).await?.ok_or(ErrorKind::NotFound)?;
        let policy = self.inner.access.policy();
        let rank = policy.roles().rank(principal.role());
        if id != principal.user() && !policy.outranks(rank, &account.user.role) {
            return Err(ErrorKind::Outranked.into());
        }
        Ok(account.user)
    }

    /// The user behind an e-mail address, for the system's own use: it is shown to nobody but an
    /// operator at the command line.
    ///
    /// # Errors
    ///
    /// If the store does not answer.
    pub async fn find_by_email(&self, email: &Email) -> Result<Option<User>> {
        let account = self.inner.users.by_email(email.canonical()).await?;
        Ok(account.map(|account| account.user))
    }

    /// A page of all users, for the system's own use.
    ///
    /// # Errors
    ///
    /// If the store does not answer.
    pub async fn list_all(&self, mut filter: UserFilter) -> Result<UserPage> {
        filter.search = filter.search.as_deref().map(canonical_search);
        let query = UserQuery { filter, hidden_roles: Vec::new(), except: None };
        Ok(self.inner.users.list(&query).await?)
    }

    /// To be called after the application has written a user itself, past goat, and has committed
    /// that: the nodes forget what they remember of the user, and no request that begins after this
    /// returns is judged by what was before. Who is deleted or suspended so loses their sessions; for
    /// sessions to stay dead once the user is active again, the write raises the epoch, too.
    ///
    /// Cannot fail: nodes that cannot be told see the change when what they remember is stale. A
    /// program that cannot call this bounds that by
    /// [`Settings::cache_staleness`](crate::Settings::cache_staleness).
    ///
    /// ```
    /// # async fn block(goat: goat_core::Goat, id: goat_core::UserId) {
    /// // UPDATE people SET blocked = true WHERE id = …; COMMIT
    /// goat.users().invalidate(id).await;
    /// # }
    /// ```
    pub async fn invalidate(&self, id: UserId) {
        let inner = Arc::clone(&self.inner);
        run_to_completion(async move {
            // ATOMIC: the shared level first, so that what is forgotten here and by the others is not
            // read from there again.
            if let Err(error) = inner.users.invalidate(id).await {
                tracing::warn!(%error, "a change of a user may be seen late: what is remembered of them could not be removed");
            }
            inner.validator.user_changed(id).await;
        })
        .await;
    }

    /// Whether there is an administrator: somebody active in the highest role.
    ///
    /// # Errors
    ///
    /// If the store does not answer.
    pub async fn has_administrator(&self) -> Result<bool> {
        let top = self.inner.access.policy().roles().top();
        Ok(self.inner.users.has_active_user_in(top).await?)
    }
}

impl Inner {
    /// Who asks, if their session is still alive: a principal may be as old as the cache allows.
    async fn own_account(&self, principal: &Principal) -> Result<Account> {
        let account = self.users.by_id(principal.user()).await?;
        let account = account.ok_or(ErrorKind::SessionRevoked)?;
        let alive = ActorFacts::of(principal).is_alive_in(account.epoch);
        if account.user.status == Status::Active && alive {
            Ok(account)
        } else {
            Err(ErrorKind::SessionRevoked.into())
        }
    }
}

fn need(principal: &Principal, permission: &Permission) -> Result<()> {
    if principal.may(permission) { Ok(()) } else { Err(ErrorKind::Forbidden.into()) }
}
