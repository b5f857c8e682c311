//! Changes of attributes: of a user's own, and of another user's by an administrator. The patch is applied
//! inside the write's own transaction, so that concurrent patches of different keys all take effect.

use std::sync::Arc;

use crate::access::permissions;
use crate::clock::Timestamp;
use crate::detached::run_to_completion;
use crate::error::{Error, ErrorKind, Result, Violation};
use crate::event::{EventActor, EventKind};
use crate::id::UserId;
use crate::store::{UserChange, UserSnapshot, UserWriteOutcome};
use crate::user::{Account, AttributePatch, User};

use super::context::{Acting, changed};
use super::{Actor, ActorFacts, Context, Principal, Standing, Users};

impl Users {
    /// Changes the principal's own attributes, of the keys that
    /// [`Settings::self_attributes`](crate::Settings::self_attributes) lists.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for other keys, which it names, and for attributes against the bounds,
    /// [`ErrorKind::SessionRevoked`] if the session has ended meanwhile, [`ErrorKind::InvalidToken`] if the API
    /// key was revoked; or if the store is unavailable.
    pub async fn change_own_attributes(
        &self,
        principal: &Principal,
        patch: AttributePatch,
    ) -> Result<User> {
        let context = Arc::clone(&self.context);
        let own = &context.settings.self_attributes;
        let others = patch.keys().filter(|key| !own.iter().any(|own| own == key));
        let violation = |key: &str| Violation::new(key.to_owned(), NOT_OWN);
        let violations: Vec<_> = others.map(violation).collect();
        if !violations.is_empty() {
            return Err(Error::invalid(violations));
        }
        let (user, facts) = (principal.user(), ActorFacts::of(principal));
        run_to_completion(async move {
            let now = context.time.now();
            let rule = |snapshot: &UserSnapshot| {
                let is_live = |account: &Account| facts.is_live(account, snapshot.has_key);
                let account = snapshot.target.clone().filter(is_live);
                patched(account.ok_or_else(|| facts.ended())?, &patch, now)
            };
            let written = context.write_user(Acting::itself(&facts), user, None, &rule).await?;
            context.attributes_changed(written, EventActor::User(user))
        })
        .await
    }

    /// Changes another user's attributes, of any keys.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `user:update`, [`ErrorKind::Invalid`] for attributes against the
    /// bounds, [`ErrorKind::NotFound`], [`ErrorKind::Outranked`] also for the actor itself; or if the store
    /// is unavailable.
    pub async fn change_attributes(
        &self,
        actor: Actor,
        id: UserId,
        patch: AttributePatch,
    ) -> Result<User> {
        actor.check(&permissions::USER_UPDATE)?;
        let context = Arc::clone(&self.context);
        run_to_completion(async move {
            let now = context.time.now();
            let rule = |standing: &Standing, snapshot: &UserSnapshot| {
                patched(context.target(standing, snapshot)?, &patch, now)
            };
            let needs = &permissions::USER_UPDATE;
            let written = context.write_as(&actor, id, needs, None, &rule).await?;
            context.attributes_changed(written, actor.event_actor())
        })
        .await
    }
}

/// The violation of a key that users may not change themselves.
const NOT_OWN: &str = "is not an attribute that you may change yourself";

fn patched(
    mut account: Account,
    patch: &AttributePatch,
    now: Timestamp,
) -> Result<UserChange, ErrorKind> {
    let attributes = account.user.attributes.merged(patch).map_err(|_| ErrorKind::Invalid)?;
    if attributes == account.user.attributes {
        return Ok(UserChange::Nothing);
    }
    account.user.attributes = attributes;
    account.user.updated_at = now;
    Ok(UserChange::Put(account))
}

impl Context {
    /// Returns the user after a patch, and emits the event of a change.
    fn attributes_changed(&self, written: UserWriteOutcome, actor: EventActor) -> Result<User> {
        if let UserWriteOutcome::Refused(ErrorKind::Invalid) = written {
            let bounds =
                "must have at most 32 keys and 4096 bytes of JSON, with those that the user has";
            return Err(Error::invalid(vec![Violation::new("attributes", bounds)]));
        }
        let (before, after) = changed(written)?;
        if let Some(before) = before {
            let keys = before.user.attributes.changed_keys(&after.user.attributes);
            self.emit(EventKind::AttributesChanged(keys), actor, &after.user);
        }
        Ok(after.user)
    }
}
