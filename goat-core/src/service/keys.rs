//! API keys: users create, list and revoke their own; their text, life and number.
//!
//! Invariants:
//! - the text of a key is returned once, by its creation; the store has the hash of its secret;
//! - a key names no scope that its owner's role lacks at its creation;
//! - a key of a session that ended meanwhile, or of a user that was suspended or deleted, is not created.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::access::Permission;
use crate::clock::Timestamp;
use crate::courier::Message;
use crate::detached::run_to_completion;
use crate::error::{Error, ErrorKind, Result, Violation};
use crate::event::{Event, EventActor, EventKind};
use crate::id::{KeyId, UserId};
use crate::key::{CreatedKey, Key, MAX_KEY_NAME, NewKey, PresentedKey, StoredKey};
use crate::language::Languages;
use crate::page::{Page, PageRequest};
use crate::store::Created;
use crate::user::User;

use super::{Actor, Context, Principal, RecentPrincipal};

/// The longest life of a key with an end, where the settings allow keys without one: a hundred years.
const LONGEST_LIFE: Duration = Duration::from_secs(36_500 * 86_400);

/// Creates, lists and revokes API keys.
#[derive(Clone, Debug)]
pub struct Keys {
    pub(super) context: Arc<Context>,
}

impl Keys {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    /// Creates a key of the principal. Its text is in the result, and nowhere else.
    ///
    /// ```
    /// use goat_core::Permission;
    /// use goat_core::key::{NewKey, Scopes};
    /// use goat_core::testing::TestGoat;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let test = TestGoat::new();
    /// let alice = test.sign_in("alice", [Permission::new("report:read")]).await;
    /// let me = test.goat.authenticate_token(alice.access_token()).await?;
    /// let created = test
    ///     .goat
    ///     .keys()
    ///     .create(test.goat.require_recent(&me).await?, NewKey {
    ///         name: "nightly report".into(),
    ///         scopes: Scopes::only([Permission::new("report:read")])?,
    ///         expires_in: None,
    ///     })
    ///     .await?;
    /// assert!(created.secret.expose().starts_with("goat_"));
    /// assert_eq!(created.key.owner, alice.user.id);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a name, a life or scopes against the rules, and for a scope that the role
    /// lacks; [`ErrorKind::NotFound`] if [`Settings::keys`] is off; [`ErrorKind::TooMany`] if the user has
    /// [`Settings::keys_per_user`] keys; [`ErrorKind::SessionRevoked`] if the session has ended meanwhile; or
    /// if a store is unavailable.
    ///
    /// [`Settings::keys`]: crate::Settings::keys
    /// [`Settings::keys_per_user`]: crate::Settings::keys_per_user
    pub async fn create(&self, recent: RecentPrincipal, new: NewKey) -> Result<CreatedKey> {
        let context = Arc::clone(&self.context);
        let principal = recent.principal().clone();
        let violations = lacks(new.scopes.lacking(principal.rights()), OF_YOUR_ROLE);
        let expires_at = context.check_key(&new, violations)?;
        let owner = principal.user();
        // The check after the commit takes place even if the client disconnects.
        run_to_completion(async move {
            let created = context.store_key(new, expires_at, owner, Some(owner)).await?;
            // ATOMIC: a suspension, a deletion, a new password or the end of the session that committed before
            // the key is seen now, since the store that keeps the key need not keep the others.
            let checked = async {
                context.own_session(&principal, context.time.now()).await?;
                Ok(context.own_account(&principal).await?.user)
            };
            context.key_created(created, checked.await, owner.into()).await
        })
        .await
    }

    /// Returns a page of the principal's own keys, newest first, expired ones included.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SessionRequired`] for an API key; or if a store is unavailable.
    pub async fn list(&self, principal: &Principal, page: PageRequest) -> Result<Page<Key>> {
        principal.require_session()?;
        Ok(self.context.stores.keys.list(principal.user(), page).await?)
    }

    /// Revokes a key of the principal. It is invalid when this returns.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SessionRequired`] for an API key; [`ErrorKind::NotFound`] if it does not exist or belongs
    /// to another user; or if a store is unavailable.
    pub async fn revoke(&self, principal: &Principal, id: KeyId) -> Result<()> {
        principal.require_session()?;
        let context = Arc::clone(&self.context);
        let owner = principal.profile().clone();
        run_to_completion(
            async move { context.revoke_key(&owner, id, owner.id.into(), None).await },
        )
        .await
    }

    /// Records the uses of keys since the last call, and returns how many keys and hours they were.
    /// [`Goat::maintain`](crate::Goat::maintain) calls it every minute; a program calls it at the end of a
    /// graceful shutdown, so that the uses of the last minute are not lost. A node records a key at most once
    /// an hour, and no request waits for it.
    ///
    /// # Errors
    ///
    /// If the store is unavailable; the uses are left to the next call.
    pub async fn record_uses(&self) -> Result<u64> {
        self.context.validator.record_key_uses().await
    }

    /// Revokes the keys of all users, and returns how many they were: the step after a restore of the
    /// database, which may have brought revoked keys back.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `full_access`, [`ErrorKind::SessionRequired`] for an API key; or if a
    /// store is unavailable.
    pub async fn revoke_all(&self, actor: Actor) -> Result<u64> {
        actor.check(&Permission::FULL_ACCESS)?;
        actor.require_session()?;
        let context = Arc::clone(&self.context);
        run_to_completion(async move {
            let count = context.stores.keys.revoke_all(None).await?;
            context.validator.keys_revoked().await;
            let kind = EventKind::KeysRevoked(count);
            let event = Event::new(kind, context.time.now(), actor.event_actor());
            context.observer.observe(&event);
            Ok(count)
        })
        .await
    }
}

const OF_YOUR_ROLE: &str = "must be permissions of your role, which lacks";

/// Returns the violation of scopes with permissions that somewhere are lacking, as the rule says; none
/// without such permissions.
pub(super) fn lacks<'a>(
    lacking: impl Iterator<Item = &'a Permission>,
    rule: &str,
) -> Vec<Violation> {
    let names: Vec<_> = lacking.map(Permission::as_str).collect();
    if names.is_empty() {
        return Vec::new();
    }
    vec![Violation::new("scopes", format!("{rule} {}", names.join(", ")))]
}

impl Context {
    /// Checks a new key against the settings, with the violations of its scopes; returns its expiry.
    pub(super) fn check_key(
        &self,
        new: &NewKey,
        scopes: Vec<Violation>,
    ) -> Result<Option<Timestamp>> {
        if !self.settings.keys {
            let switched_off = "API keys are switched off.";
            return Err(Error::from(ErrorKind::NotFound).with_client_message(switched_off));
        }
        let mut violations = Vec::new();
        if !(1..=MAX_KEY_NAME).contains(&new.name.chars().count())
            || new.name.chars().any(char::is_control)
        {
            let rule =
                format!("must be 1 to {MAX_KEY_NAME} characters, none of them a control one");
            violations.push(Violation::new("name", rule));
        }
        violations.extend(scopes);
        let longest = self.settings.key_ttl;
        if new.expires_in.is_some_and(|life| life < Duration::from_secs(1)) {
            violations.push(Violation::new("expires_in", "must be at least 1 second"));
        } else {
            let longest = longest.unwrap_or(LONGEST_LIFE);
            if new.expires_in.is_some_and(|life| life > longest) {
                let rule = format!("must be at most {} seconds", longest.as_secs());
                violations.push(Violation::new("expires_in", rule));
            }
        }
        if !violations.is_empty() {
            return Err(Error::invalid(violations));
        }
        Ok(new.expires_in.or(longest).map(|life| self.time.now() + life))
    }

    /// Stores a new key if its owner has room for it. [`Context::key_created`] completes the creation.
    pub(super) async fn store_key(
        &self,
        new: NewKey,
        expires_at: Option<Timestamp>,
        owner: UserId,
        made_by: Option<UserId>,
    ) -> Result<CreatedKey> {
        let created_at = self.time.now();
        let presented = PresentedKey::generate(created_at);
        let NewKey { name, scopes, .. } = new;
        let id = presented.id();
        let last_used_at = None;
        let key = Key { id, owner, made_by, name, scopes, created_at, expires_at, last_used_at };
        let stored = StoredKey { key, hash: presented.hash() };
        match self.stores.keys.create(&stored, self.settings.keys_per_user).await? {
            Created::TooMany => Err(ErrorKind::TooMany.into()),
            Created::Created => {
                let secret = presented.text(&self.settings.key_prefix);
                Ok(CreatedKey { key: stored.key, secret })
            }
        }
    }

    /// Completes the creation of a key by the check after its commit, which returns the owner: revokes the
    /// key if the check failed.
    pub(super) async fn key_created(
        &self,
        created: CreatedKey,
        checked: Result<User>,
        actor: EventActor,
    ) -> Result<CreatedKey> {
        let key = &created.key;
        match checked {
            Ok(owner) => {
                let event = Event::new(EventKind::KeyCreated, key.created_at, actor).about(&owner);
                self.observer.observe(&event.of_key(key.id));
                let message = Message::KeyCreated { name: key.name.clone(), at: key.created_at };
                self.notify(&owner, &Languages::default(), message).await;
                Ok(created)
            }
            Err(error) => {
                self.stores.keys.revoke(key.owner, key.id).await?;
                Err(error)
            }
        }
    }

    /// Revokes a key of this user.
    pub(super) async fn revoke_key(
        &self,
        owner: &User,
        id: KeyId,
        actor: EventActor,
        address: Option<IpAddr>,
    ) -> Result<()> {
        if !self.stores.keys.revoke(owner.id, id).await? {
            return Err(ErrorKind::NotFound.into());
        }
        // ATOMIC: before the caller responds.
        self.validator.key_revoked(owner.id, id).await;
        let event = Event::new(EventKind::KeyRevoked, self.time.now(), actor).about(owner);
        self.observer.observe(&event.of_key(id).with_address(address));
        Ok(())
    }

    /// Returns the number of a user's keys, expired ones included.
    pub(super) async fn count_keys(&self, owner: UserId) -> Result<u64> {
        let page = PageRequest::new(1, 1).unwrap_or_default();
        Ok(self.stores.keys.list(owner, page).await?.total)
    }

    /// Deletes the keys of a deleted user from a store that keeps users elsewhere. A key without its owner
    /// counts as absent, so that a failure is only logged.
    pub(super) async fn delete_keys(&self, user: UserId) {
        if let Err(error) = self.stores.keys.revoke_all(Some(user)).await {
            tracing::warn!(%error, %user, "keys of a deleted user not removed from the store; they are invalid nevertheless");
        }
    }
}
