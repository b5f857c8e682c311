//! A goat in memory whose users sign in within one line, and whose clock the test moves.
//!
//! Invariant: nothing here goes past a check. Permissions are granted to roles, users are made and
//! sign in with their password, and the tokens are real.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::access::{Actor, Permission, Role, RoleSet};
use crate::auth::{Login, TokenPair};
use crate::builder::Builder;
use crate::goat::Goat;
use crate::id::SessionId;
use crate::session::Origin;
use crate::settings::Settings;
use crate::store::Stores;
use crate::token::TokenKeys;
use crate::user::{Email, NewUser, Status, User};

use super::{ManualClock, PlainHasher};

/// How many different sets of permissions can be signed in with.
const SPARE_ROLES: usize = 32;
const PASSWORD: &str = "a long walk on a short pier";

/// A goat for tests: everything in memory, a clock that stands still until it is moved, and a
/// hasher that costs nothing.
///
/// Its roles are `client`, then 32 spare ones, then `admin`. Who signs in with permissions gets a
/// spare role that has exactly these; users with the same permissions share one. Ranks rise in the
/// order in which sets of permissions are first asked for. Nobody's attempts at a password are
/// limited, since time stands still.
///
/// ```
/// use std::time::Duration;
/// use goat_core::testing::TestGoat;
/// use goat_core::{ErrorKind, Permission};
///
/// const REPORTS: Permission = Permission::new("report:read");
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> goat_core::Result<()> {
/// let test = TestGoat::new();
/// let alice = test.sign_in("alice", [REPORTS]).await;
/// let principal = test.goat.authenticate_token(alice.access_token()).await?;
/// assert_eq!(principal.user(), alice.user.id);
/// assert!(principal.may(&REPORTS));
///
/// test.clock.advance(Duration::from_secs(3600));
/// let error = test.goat.authenticate_token(alice.access_token()).await.expect_err("an old token");
/// assert_eq!(error.kind(), ErrorKind::TokenExpired);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TestGoat {
    /// The goat.
    pub goat: Goat,
    /// Its clock, at 2026-01-01T00:00:00Z.
    pub clock: ManualClock,
    /// Which spare role stands for which permissions.
    spare: Arc<Mutex<HashMap<BTreeSet<Permission>, Role>>>,
}

/// Somebody who has signed in to a [`TestGoat`].
#[derive(Clone, Debug)]
pub struct TestUser {
    /// The user.
    pub user: User,
    /// The session.
    pub session: SessionId,
    /// The tokens.
    pub tokens: TokenPair,
}

impl TestUser {
    /// The access token.
    #[must_use]
    pub fn access_token(&self) -> &str {
        self.tokens.access_token.expose()
    }

    /// What the `Authorization` header of the user's requests says.
    #[must_use]
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.access_token())
    }
}

impl Default for TestGoat {
    fn default() -> Self {
        Self::new()
    }
}

impl TestGoat {
    /// A goat in memory with default settings.
    ///
    /// # Panics
    ///
    /// If there is no cryptography provider (see the features `aws-lc-rs` and `rust-crypto`).
    #[must_use]
    pub fn new() -> Self {
        Self::build(Stores::memory(), |builder| builder)
    }

    /// A goat over stores of one's own, and built otherwise: what `change` sets stands in place of
    /// the fixture's hasher, settings or roles. With roles of one's own, there are no spare ones;
    /// sign in with [`sign_in_as`](Self::sign_in_as).
    ///
    /// # Panics
    ///
    /// If it cannot be built so.
    #[expect(clippy::expect_used, reason = "for tests, which should fail on it")]
    pub fn build(stores: Stores, change: impl FnOnce(Builder) -> Builder) -> Self {
        let clock = ManualClock::default();
        let spare: Vec<String> = (0..SPARE_ROLES).map(spare_role).collect();
        let names = ["client"].into_iter().chain(spare.iter().map(String::as_str));
        let roles = names.map(|name| (name, vec![])).chain([("admin", vec!["full_access"])]);
        let builder = Goat::builder(stores, TokenKeys::generate())
            .roles(RoleSet::new(roles).expect("a set of roles"))
            .settings(Settings { account_quota: None, ..Settings::default() })
            .hasher(Arc::new(PlainHasher::default()))
            .clock(Arc::new(clock.clone()));
        let goat = change(builder).build().expect("settings within bounds");
        Self { goat, clock, spare: Arc::default() }
    }

    /// Signs somebody in whose role has exactly these permissions: `full_access` makes an `admin`,
    /// none at all a `client`. The user is made when first met; who signs in again begins another
    /// session, under the new role if the permissions are others.
    ///
    /// # Panics
    ///
    /// If the name is not the beginning of an e-mail address, for more than 32 different sets of
    /// permissions, or if a store fails.
    #[expect(clippy::expect_used, reason = "for tests, which should fail on it")]
    pub async fn sign_in(
        &self,
        name: &str,
        permissions: impl IntoIterator<Item = Permission>,
    ) -> TestUser {
        let wanted = BTreeSet::from_iter(permissions);
        let names = self.goat.roles().names();
        if wanted.is_empty() {
            return self.sign_in_as(name, names.first().expect("a role").as_str()).await;
        }
        if wanted.contains(&Permission::FULL_ACCESS) {
            return self.sign_in_as(name, names.last().expect("a role").as_str()).await;
        }
        let mut spare = self.spare.lock().await;
        let role = match spare.get(&wanted) {
            Some(role) => role.clone(),
            None => {
                let role = self.goat.roles().get(&spare_role(spare.len()));
                let role = role.expect("a spare role is left for another set of permissions");
                for permission in &wanted {
                    let granted = self.goat.roles().grant(
                        Actor::system("fixture"),
                        role.as_str(),
                        permission.clone(),
                    );
                    granted.await.expect("a grant");
                }
                spare.insert(wanted, role.clone());
                role
            }
        };
        drop(spare);
        self.sign_in_as(name, role.as_str()).await
    }

    /// Signs somebody in under a role of the goat's set.
    ///
    /// # Panics
    ///
    /// If there is no such role, if the name is not the beginning of an e-mail address, or if a
    /// store fails.
    #[expect(clippy::expect_used, reason = "for tests, which should fail on it")]
    pub async fn sign_in_as(&self, name: &str, role: &str) -> TestUser {
        let users = self.goat.users();
        let email = Email::parse(&format!("{name}@example.org")).expect("an address");
        let role = self.goat.roles().get(role).expect("a role of the set");
        let actor = Actor::system("fixture");
        match users.find_by_email(&email).await.expect("a store that answers") {
            None => {
                let (password, status) = (PASSWORD.into(), Status::Active);
                let new = NewUser { email: email.clone(), password, role, status };
                users.create(actor, new).await.expect("a user");
            }
            Some(user) if user.role != role => {
                users.change_role(actor, user.id, role).await.expect("another role");
            }
            Some(_) => {}
        }
        let origin = Origin::default();
        let login = Login { email: email.as_str().into(), password: PASSWORD.into(), origin };
        let signed_in = self.goat.login(login).await.expect("a session").value;
        TestUser { user: signed_in.user, session: signed_in.session, tokens: signed_in.tokens }
    }
}

fn spare_role(index: usize) -> String {
    format!("spare_{index:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Permission = Permission::new("report:read");
    const WRITE: Permission = Permission::new("report:write");

    async fn may(test: &TestGoat, user: &TestUser) -> (bool, bool) {
        let principal =
            test.goat.authenticate_token(user.access_token()).await.expect("a principal");
        (principal.may(&READ), principal.may(&WRITE))
    }

    #[tokio::test]
    async fn who_signs_in_may_what_was_asked_for_and_nothing_else() {
        let test = TestGoat::new();
        let ann = test.sign_in("ann", [READ]).await;
        let bob = test.sign_in("bob", [WRITE, READ]).await;
        let cat = test.sign_in("cat", []).await;
        let dan = test.sign_in("dan", [Permission::FULL_ACCESS]).await;
        let eve = test.sign_in("eve", [READ, WRITE]).await;
        assert_eq!(may(&test, &ann).await, (true, false));
        assert_eq!(may(&test, &bob).await, (true, true));
        assert_eq!(may(&test, &cat).await, (false, false));
        assert_eq!(may(&test, &dan).await, (true, true));
        assert_eq!((cat.user.role.as_str(), dan.user.role.as_str()), ("client", "admin"));
        assert_eq!(eve.user.role, bob.user.role);
        assert_ne!(eve.user.role, ann.user.role);
    }

    #[tokio::test]
    async fn who_signs_in_again_is_the_same_user_in_another_session() {
        let test = TestGoat::new();
        let first = test.sign_in("ann", [READ]).await;
        let again = test.sign_in("ann", [WRITE]).await;
        assert_eq!(first.user.id, again.user.id);
        assert_ne!(first.session, again.session);
        assert_eq!(may(&test, &first).await, (false, true));
    }
}
