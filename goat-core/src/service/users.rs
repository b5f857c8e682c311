//! User service: reads, and invalidation after external changes. Changes by an administrator are in
//! `users_admin`, changes by the users themselves in `users_self`, and both changes of attributes in
//! `users_attributes`.

use std::sync::Arc;

use crate::access::permissions;
use crate::detached::run_to_completion;
use crate::error::{ErrorKind, Result};
use crate::id::UserId;
use crate::user::{Email, User, UserFilter, UserPage, UserQuery, canonical_search};

use super::{Context, Policy, Principal};

/// Reads, creates, changes and deletes users.
#[derive(Clone, Debug)]
pub struct Users {
    pub(super) context: Arc<Context>,
}

impl Users {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    /// Returns a page of the users that the principal may see: itself, and those that it may act on,
    /// whose roles rank lower and have no permission that its own does not.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `user:read`; or if the store is unavailable.
    pub async fn list(&self, principal: &Principal, mut filter: UserFilter) -> Result<UserPage> {
        principal.require(&permissions::USER_READ)?;
        let hidden_roles = Policy::hidden_roles(principal);
        filter.search = filter.search.as_deref().map(canonical_search);
        let query = UserQuery { filter, hidden_roles, except: Some(principal.user()) };
        Ok(self.context.stores.users.list(&query).await?)
    }

    /// Returns one user: the principal itself, or a user that it may act on.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `user:read`, [`ErrorKind::NotFound`],
    /// [`ErrorKind::Outranked`]; or if the store is unavailable.
    pub async fn find(&self, principal: &Principal, id: UserId) -> Result<User> {
        principal.require(&permissions::USER_READ)?;
        let account = self.context.stores.users.by_id(id).await?.ok_or(ErrorKind::NotFound)?;
        Policy::check_visible(principal, &account.user)?;
        Ok(account.user)
    }

    /// Returns the user with an id, without an access check: for the command line, jobs and messages.
    ///
    /// # Errors
    ///
    /// If the store is unavailable.
    pub async fn find_by_id(&self, id: UserId) -> Result<Option<User>> {
        Ok(self.context.stores.users.by_id(id).await?.map(|account| account.user))
    }

    /// Returns the user with an e-mail address, without an access check: for the command line and jobs.
    ///
    /// # Errors
    ///
    /// If the store is unavailable.
    pub async fn find_by_email(&self, email: &Email) -> Result<Option<User>> {
        let account = self.context.stores.users.by_email(email.canonical()).await?;
        Ok(account.map(|account| account.user))
    }

    /// Returns a page of all users, without an access check: for the command line and jobs.
    ///
    /// # Errors
    ///
    /// If the store is unavailable.
    pub async fn list_all(&self, mut filter: UserFilter) -> Result<UserPage> {
        filter.search = filter.search.as_deref().map(canonical_search);
        let query = UserQuery { filter, hidden_roles: Vec::new(), except: None };
        Ok(self.context.stores.users.list(&query).await?)
    }

    /// Invalidates the cached state of a user on all nodes, after the application has changed the user
    /// without goat and committed the change. No request that begins after this returns uses the
    /// earlier state. A user that was deleted or suspended so loses their sessions; for the sessions to
    /// stay invalid once the user is active again, the write raises the session epoch too.
    ///
    /// Cannot fail: nodes that cannot be reached see the change once their cached state is stale, which
    /// [`Settings::cache_staleness`](crate::Settings::cache_staleness) bounds.
    ///
    /// ```
    /// # async fn block(goat: goat_core::Goat, id: goat_core::UserId) {
    /// // UPDATE people SET blocked = true WHERE id = …; COMMIT
    /// goat.users().invalidate(id).await;
    /// # }
    /// ```
    pub async fn invalidate(&self, id: UserId) {
        let context = Arc::clone(&self.context);
        run_to_completion(async move { context.invalidate_user(id).await }).await;
    }

    /// Whether an administrator exists: an active user in the highest role.
    ///
    /// # Errors
    ///
    /// If the store is unavailable.
    pub async fn has_administrator(&self) -> Result<bool> {
        let top = self.context.role_table.top().await?;
        Ok(self.context.stores.users.has_active_user_in(&top).await?)
    }
}
