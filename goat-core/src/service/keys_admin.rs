//! API keys of other users: those that an actor makes for service accounts, lists and revokes.
//!
//! Invariants:
//! - no key is made for another person;
//! - a key names no scope that the actor or the role of its owner lacks at its creation;
//! - every rule holds also after the key has committed; otherwise the key is revoked before its text is
//!   returned.

use std::sync::Arc;

use crate::access::{Permission, RoleTable, permissions};
use crate::detached::run_to_completion;
use crate::error::{Error, ErrorKind, Result, Violation};
use crate::id::{KeyId, UserId};
use crate::key::{CreatedKey, Key, NewKey, Scopes};
use crate::page::{Page, PageRequest};
use crate::store::{UserChange, UserSnapshot};
use crate::user::{User, UserKind};

use super::context::changed;
use super::keys::lacks;
use super::{Actor, Keys, Policy, Principal, RecentActor, Standing};

impl Keys {
    /// Creates a key of a service account. Its text is in the result, and nowhere else.
    ///
    /// ```
    /// use goat_core::RecentActor;
    /// use goat_core::key::{NewKey, Scopes};
    /// use goat_core::testing::TestGoat;
    /// use goat_core::user::{NewService, ServiceName};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let goat = TestGoat::new().goat;
    /// let (name, role) = (ServiceName::parse("backup")?, goat.roles().lowest());
    /// let system = goat_core::Actor::system("set-up");
    /// let backup = goat.users().create_service(system, NewService { name, role }).await?;
    /// let new = NewKey { name: "nightly".into(), scopes: Scopes::Role, expires_in: None };
    /// let created = goat.keys().create_for(RecentActor::system("set-up"), backup.id, new).await?;
    /// assert_eq!((created.key.owner, created.key.made_by), (backup.id, None));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `user:update`; [`ErrorKind::Invalid`] for a name, a life or scopes
    /// against the rules, and for a scope that the actor or the role of the user lacks;
    /// [`ErrorKind::NotFound`], also if [`Settings::keys`] is off; [`ErrorKind::Outranked`] also for the actor
    /// itself; [`ErrorKind::InvalidTransition`] for a person; [`ErrorKind::TooMany`] if the user has
    /// [`Settings::keys_per_user`] keys; or if a store is unavailable.
    ///
    /// [`Settings::keys`]: crate::Settings::keys
    /// [`Settings::keys_per_user`]: crate::Settings::keys_per_user
    pub async fn create_for(
        &self,
        actor: RecentActor,
        owner: UserId,
        new: NewKey,
    ) -> Result<CreatedKey> {
        let actor = Actor::from(actor);
        actor.check(&NEEDS)?;
        let context = Arc::clone(&self.context);
        let standing = actor.standing();
        // Before the user is read, so that they reveal nothing about it.
        let lacking = |permission: &&Permission| !standing.may(permission);
        let violations = lacks(named(&new.scopes).iter().filter(lacking), YOURS);
        let expires_at = context.check_key(&new, violations)?;
        let table = context.role_table.table(None).await?;
        let user = context.stores.users.by_id(owner).await?.ok_or(ErrorKind::NotFound)?.user;
        Policy::check_target(&standing, &user)?;
        check_owner(&standing, &user, &new.scopes, &table).map_err(Refusal::explain)?;
        let (scopes, made_by) = (new.scopes.clone(), actor.facts().map(|facts| facts.user()));
        // The check after the commit takes place even if the client disconnects.
        run_to_completion(async move {
            let created = context.store_key(new, expires_at, owner, made_by).await?;
            // ATOMIC: after the key has committed, since the store that keeps the key need not keep the
            // user. A change that commits later than this check finds the key.
            let rule = |standing: &Standing, snapshot: &UserSnapshot| {
                let user = context.target(standing, snapshot)?.user;
                check_owner(standing, &user, &scopes, &table).map_err(|refusal| refusal.kind())?;
                Ok(UserChange::Nothing)
            };
            let checked = async {
                if let Some(principal) = actor.principal() {
                    context.own_session(principal, context.time.now()).await?;
                }
                let written = context.write_as(&actor, owner, &NEEDS, None, &rule).await;
                written.and_then(changed).map(|(_, account)| account.user)
            };
            let checked = checked.await.map_err(|error| match error.kind() {
                ErrorKind::Invalid => Refusal::Scopes(Vec::new()).explain(),
                ErrorKind::InvalidTransition => Refusal::Person.explain(),
                _ => error,
            });
            context.key_created(created, checked, actor.event_actor()).await
        })
        .await
    }

    /// Returns a page of another user's keys, newest first, expired ones included.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `user:read`, [`ErrorKind::SessionRequired`] for an API key,
    /// [`ErrorKind::NotFound`], [`ErrorKind::Outranked`]; or if a store is unavailable.
    pub async fn list_of(
        &self,
        principal: &Principal,
        owner: UserId,
        page: PageRequest,
    ) -> Result<Page<Key>> {
        principal.require(&permissions::USER_READ)?;
        principal.require_session()?;
        let stores = &self.context.stores;
        let account = stores.users.by_id(owner).await?.ok_or(ErrorKind::NotFound)?;
        Policy::check_visible(principal, &account.user)?;
        Ok(stores.keys.list(owner, page).await?)
    }

    /// Returns a page of a user's keys, without an access check: for the command line and jobs.
    ///
    /// # Errors
    ///
    /// If the store is unavailable.
    pub async fn list_unchecked(&self, owner: UserId, page: PageRequest) -> Result<Page<Key>> {
        Ok(self.context.stores.keys.list(owner, page).await?)
    }

    /// Returns a key, even if it has expired, without an access check: for the command line and jobs.
    ///
    /// # Errors
    ///
    /// If the store is unavailable.
    pub async fn find_by_id(&self, id: KeyId) -> Result<Option<Key>> {
        Ok(self.context.stores.keys.find(id).await?.map(|view| view.stored.key))
    }

    /// Revokes a key of another user, a person's too.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `user:update`, [`ErrorKind::SessionRequired`] for an API key;
    /// [`ErrorKind::NotFound`] if the user does not exist or has no such key; [`ErrorKind::Outranked`] also
    /// for the actor itself; or if a store is unavailable.
    pub async fn revoke_of(&self, actor: Actor, owner: UserId, id: KeyId) -> Result<()> {
        actor.check(&NEEDS)?;
        actor.require_session()?;
        let context = Arc::clone(&self.context);
        run_to_completion(async move {
            let rule = |standing: &Standing, snapshot: &UserSnapshot| {
                context.target(standing, snapshot)?;
                Ok(UserChange::Nothing)
            };
            let written = context.write_as(&actor, owner, &NEEDS, None, &rule).await?;
            let owner = changed(written)?.1.user;
            context.revoke_key(&owner, id, actor.event_actor(), None).await
        })
        .await
    }
}

/// The permission to change the keys of others.
const NEEDS: Permission = permissions::USER_UPDATE;

const YOURS: &str = "must be permissions that you have; you lack";
const OF_BOTH: &str = "must be permissions that you have and that the role of the user has";

/// Why a user gets no such key.
enum Refusal {
    /// These scopes are not among the rights of the actor and of the user's role.
    Scopes(Vec<Permission>),
    /// The user is a person.
    Person,
}

impl Refusal {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Scopes(_) => ErrorKind::Invalid,
            Self::Person => ErrorKind::InvalidTransition,
        }
    }

    fn explain(self) -> Error {
        match self {
            Self::Scopes(lacking) if lacking.is_empty() => {
                Error::invalid(vec![Violation::new("scopes", OF_BOTH)])
            }
            Self::Scopes(lacking) => {
                Error::invalid(lacks(lacking.iter(), &format!("{OF_BOTH}, unlike")))
            }
            Self::Person => Error::from(ErrorKind::InvalidTransition).with_client_message(
                "Others create keys for service accounts only. A person creates keys after signing in.",
            ),
        }
    }
}

/// Returns the permissions that the scopes name. All rights of the owner's role are among those of an actor
/// that outranks the owner.
fn named(scopes: &Scopes) -> &[Permission] {
    match scopes {
        Scopes::Role => &[],
        Scopes::Only(permissions) => permissions,
    }
}

/// Checks that the actor and the role of the owner have the scopes, and that the owner is a service account.
/// `table` decides where the standing has none.
fn check_owner(
    standing: &Standing,
    owner: &User,
    scopes: &Scopes,
    table: &Arc<RoleTable>,
) -> Result<(), Refusal> {
    let table = match standing {
        Standing::System => table,
        Standing::User { table, .. } => table,
    };
    let rights = table.rights(&owner.role);
    let lacking =
        |permission: &&Permission| !(standing.may(permission) && rights.allow(permission));
    let lacking: Vec<_> = named(scopes).iter().filter(lacking).cloned().collect();
    if !lacking.is_empty() {
        return Err(Refusal::Scopes(lacking));
    }
    match owner.kind() {
        UserKind::Service => Ok(()),
        UserKind::Person => Err(Refusal::Person),
    }
}
