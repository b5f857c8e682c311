//! API keys for tests, of a signed-in user or of a service account.
//!
//! Invariant: no check is bypassed. Keys are created by the public API.

#[cfg(test)]
mod tests;

use std::panic::Location;

use crate::access::Permission;
use crate::error::ErrorKind;
use crate::goat::Goat;
use crate::key::{CreatedKey, Key, NewKey, Scopes};
use crate::secret::Secret;
use crate::service::{Actor, RecentActor};
use crate::user::{NewService, ServiceName, User};

use super::sign_in::{because, reduced, role_with};
use super::{TestGoat, TestUser, Testing};

/// An API key.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TestKey {
    /// The key.
    pub key: Key,
    text: Secret<String>,
}

impl TestKey {
    /// The text that a program presents.
    #[must_use]
    pub fn text(&self) -> &str {
        self.text.expose()
    }

    /// The value of the `Authorization` header for requests with this key.
    #[must_use]
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.text())
    }
}

/// For keys that a test creates by itself.
impl From<CreatedKey> for TestKey {
    fn from(created: CreatedKey) -> Self {
        let CreatedKey { key, secret } = created;
        Self { key, text: secret }
    }
}

impl TestGoat {
    /// Creates a service account with exactly these permissions, and an API key of it. Short for
    /// [`Goat::testing`] and [`Testing::service`].
    ///
    /// # Panics
    ///
    /// Like that method.
    #[track_caller]
    pub fn service<P>(
        &self,
        name: &str,
        permissions: P,
    ) -> impl Future<Output = TestKey> + Send + use<P>
    where
        P: IntoIterator<Item = Permission>,
    {
        self.goat.testing().service(name, permissions)
    }
}

impl Testing {
    /// Creates an API key of a signed-in user, with all rights of its role or with these scopes.
    ///
    /// ```
    /// use goat_core::Permission;
    /// use goat_core::key::Scopes;
    /// use goat_core::testing::TestGoat;
    ///
    /// const READ: Permission = Permission::new("report:read");
    /// const WRITE: Permission = Permission::new("report:write");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> goat_core::Result<()> {
    /// let test = TestGoat::new();
    /// let alice = test.sign_in("alice", [READ, WRITE]).await;
    /// let scopes = Scopes::only([READ]).expect("a few permissions");
    /// let key = test.goat.testing().key(&alice, scopes).await;
    /// let principal = test.goat.authenticate_token(key.text()).await?;
    /// assert_eq!(principal.user(), alice.user.id);
    /// assert!(principal.may(&READ) && !principal.may(&WRITE));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If the user's session has ended or is no longer recent, for a scope that its role lacks, or if the
    /// user has as many keys as there may be.
    #[track_caller]
    pub fn key(
        &self,
        user: &TestUser,
        scopes: Scopes,
    ) -> impl Future<Output = TestKey> + Send + use<> {
        let (goat, caller, user) = (self.goat().clone(), Location::caller(), user.clone());
        async move {
            let created = async {
                let me = goat.authenticate_token(user.access_token()).await?;
                let recent = goat.require_recent(&me).await?;
                goat.keys().create(recent, new_key(scopes)).await
            };
            let created = created.await.unwrap_or_else(|error| {
                let (owner, violations) = (user.user.id, error.violations());
                panic!("cannot create a key of {owner} at {caller}: {error} {violations:?}")
            });
            created.into()
        }
    }

    /// Creates a service account `<name>@service.invalid` with exactly these permissions, and an API
    /// key that has all of them. A service account that exists receives another key; its role stays.
    ///
    /// ```
    /// use goat_core::Permission;
    /// use goat_core::testing::TestGoat;
    ///
    /// const WRITE: Permission = Permission::new("backup:write");
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> goat_core::Result<()> {
    /// let test = TestGoat::new();
    /// let key = test.service("backup", [WRITE]).await;
    /// let principal = test.goat.authenticate_token(key.text()).await?;
    /// assert!(principal.may(&WRITE));
    /// assert_eq!(principal.session(), None);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// As [`sign_in`](Self::sign_in) for the permissions, and for a name that is not one of a service account.
    #[track_caller]
    pub fn service<P>(
        &self,
        name: &str,
        permissions: P,
    ) -> impl Future<Output = TestKey> + Send + use<P>
    where
        P: IntoIterator<Item = Permission>,
    {
        let (goat, name, caller) = (self.goat().clone(), name.to_owned(), Location::caller());
        let wanted = reduced(permissions);
        async move {
            let key = async {
                let parsed = ServiceName::parse(&name).map_err(because("not a name"))?;
                let (_turn, role) = role_with(&goat, &wanted).await?;
                let account = found_or_created(&goat, NewService { name: parsed, role }).await?;
                let actor = RecentActor::system("a test creates a key");
                let key = goat.keys().create_for(actor, account.id, new_key(Scopes::Role)).await;
                key.map_err(because("cannot create the key"))
            };
            let key = key.await.unwrap_or_else(|reason| {
                panic!("{name:?} is not created as a service account at {caller}: {reason}")
            });
            key.into()
        }
    }
}

fn new_key(scopes: Scopes) -> NewKey {
    NewKey { name: "a test".to_owned(), scopes, expires_in: None }
}

async fn found_or_created(goat: &Goat, new: NewService) -> Result<User, String> {
    let email = new.name.email().clone();
    match goat.users().create_service(Actor::system("a test creates a service account"), new).await
    {
        Ok(user) => Ok(user),
        Err(error) if error.kind() == ErrorKind::EmailTaken => {
            let found = goat.users().find_by_email(&email).await;
            let found = found.map_err(because("cannot look up users"))?;
            found.ok_or_else(|| because("cannot create the service account")(error))
        }
        Err(error) => Err(because("cannot create the service account")(error)),
    }
}
