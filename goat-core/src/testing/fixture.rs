//! In-memory goat for tests, with a manual clock and sign-in by name.

use std::sync::Arc;

use crate::access::{Permission, Role, RoleSet};
use crate::builder::Builder;
use crate::goat::{Goat, SpareRoles};
use crate::settings::Settings;
use crate::store::Stores;
use crate::token::TokenKeys;

use super::{ManualClock, PlainHasher, TestUser};

/// Maximum number of different permission sets to sign in with.
const SPARE_ROLES: usize = 32;

/// A goat for tests: in-memory stores, a manual clock, and a hasher without cost.
///
/// Its roles are `client`, 32 spare roles, and `admin`. A sign-in with permissions that no role has
/// assigns a spare role with exactly these; users with the same permissions share one. Ranks rise
/// in the order in which permission sets are first used. Password attempts are not limited, since
/// time stops.
///
/// Changes to users are made through the goat itself, as [`Actor::system`](crate::Actor::system):
///
/// ```
/// use std::time::Duration;
/// use goat_core::testing::TestGoat;
/// use goat_core::{Actor, ErrorKind, Permission, Status};
///
/// const READ: Permission = Permission::new("report:read");
/// const WRITE: Permission = Permission::new("report:write");
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> goat_core::Result<()> {
/// let test = TestGoat::new();
/// let goat = &test.goat;
/// let actor = || Actor::system("a test");
/// let alice = test.sign_in("alice", [READ]).await;
/// let principal = goat.authenticate_token(alice.access_token()).await?;
/// assert_eq!(principal.user(), alice.user.id);
/// assert!(principal.may(&READ) && !principal.may(&WRITE));
///
/// // A grant to her role applies to all users of that role,
/// goat.roles().grant(actor(), alice.user.role.as_str(), WRITE).await?;
/// assert!(goat.authenticate_token(alice.access_token()).await?.may(&WRITE));
/// // and another sign-in moves her alone to another role, in her earlier sessions too.
/// let again = test.sign_in("alice", []).await;
/// assert!(!goat.authenticate_token(alice.access_token()).await?.may(&READ));
///
/// // Her sessions can be revoked,
/// goat.sessions().revoke_all_of(actor(), alice.user.id).await?;
/// let error = goat.authenticate_token(again.access_token()).await.expect_err("no session");
/// assert_eq!(error.kind(), ErrorKind::SessionRevoked);
///
/// // tokens expire,
/// let bob = test.sign_in("bob", [READ]).await;
/// test.clock.advance(Duration::from_secs(3600));
/// let error = goat.authenticate_token(bob.access_token()).await.expect_err("an old token");
/// assert_eq!(error.kind(), ErrorKind::TokenExpired);
///
/// // and users can be suspended.
/// let carol = test.sign_in("carol", [READ]).await;
/// goat.users().change_status(actor(), carol.user.id, Status::Suspended).await?;
/// let error = goat.authenticate_token(carol.access_token()).await.expect_err("suspended");
/// assert_eq!(error.kind(), ErrorKind::SessionRevoked);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TestGoat {
    /// The goat.
    pub goat: Goat,
    /// Its clock, at 2026-01-01T00:00:00Z.
    pub clock: ManualClock,
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
    #[track_caller]
    pub fn new() -> Self {
        Self::build(Stores::memory(), |builder| builder)
    }

    /// Builds over the given stores; `change` may replace the fixture's hasher, settings or roles.
    /// With other roles there are no spare ones.
    ///
    /// ```
    /// use goat_core::testing::TestGoat;
    /// use goat_core::{Permission, RoleSet, Stores};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> goat_core::Result<()> {
    /// let roles = RoleSet::new([
    ///     ("reader", vec!["book:read"]),
    ///     ("director", vec!["full_access"]),
    /// ])?;
    /// let test = TestGoat::build(Stores::memory(), |builder| builder.roles(roles));
    /// let alice = test.sign_in("alice", [Permission::new("book:read")]).await;
    /// assert_eq!(alice.user.role.as_str(), "reader");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If the configuration is invalid.
    #[expect(clippy::expect_used, reason = "for tests, which should fail on it")]
    #[track_caller]
    pub fn build(stores: Stores, change: impl FnOnce(Builder) -> Builder) -> Self {
        let clock = ManualClock::default();
        let spare: Vec<_> = (0..SPARE_ROLES).map(|index| format!("spare_{index:02}")).collect();
        let names = ["client"].into_iter().chain(spare.iter().map(String::as_str));
        let roles = names.map(|name| (name, vec![])).chain([("admin", vec!["full_access"])]);
        let parsed = spare.iter().map(|name| Role::parse(name).expect("a role's name")).collect();
        let builder = Goat::builder(stores, TokenKeys::generate())
            .roles(RoleSet::new(roles).expect("a set of roles"))
            .spare(SpareRoles { roles: parsed, ..SpareRoles::default() })
            .settings(Settings {
                account_quota: None,
                account_day_quota: None,
                ..Settings::default()
            })
            .hasher(Arc::new(PlainHasher::default()))
            .clock(Arc::new(clock.clone()));
        let goat = change(builder).build().expect("settings within bounds");
        Self { goat, clock }
    }

    /// Signs in a user whose role has exactly these permissions: `full_access` gives `admin`, none
    /// `client`, others a spare role. Short for [`Goat::testing`] and
    /// [`Testing::sign_in`](super::Testing::sign_in).
    ///
    /// # Panics
    ///
    /// Like that method; the spare roles suffice for 32 different permission sets.
    #[track_caller]
    pub fn sign_in<P>(
        &self,
        name: &str,
        permissions: P,
    ) -> impl Future<Output = TestUser> + Send + use<P>
    where
        P: IntoIterator<Item = Permission>,
    {
        self.goat.testing().sign_in(name, permissions)
    }

    /// Signs in a user with a role of the goat's role set. Short for [`Goat::testing`] and
    /// [`Testing::sign_in_as`](super::Testing::sign_in_as).
    ///
    /// # Panics
    ///
    /// Like that method.
    #[track_caller]
    pub fn sign_in_as(
        &self,
        name: &str,
        role: &str,
    ) -> impl Future<Output = TestUser> + Send + use<> {
        self.goat.testing().sign_in_as(name, role)
    }
}
