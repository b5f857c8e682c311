//! Sign-in for tests, on an in-memory goat or an application's own.
//!
//! Invariant: no check is bypassed. Users are created, permissions granted and passwords verified
//! by the public API, and the tokens are real.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::panic::Location;

use serde_json::Value;
use tokio::sync::MutexGuard;

use crate::access::{Permission, Role, RoleSummary};
use crate::error::ErrorKind;
use crate::goat::Goat;
use crate::id::{SessionId, UserId};
use crate::password::PasswordPolicy;
use crate::service::{Actor, Login, SignedIn, TokenPair};
use crate::session::Origin;
use crate::user::{AttributePatch, Email, NewUser, Status, User, UserFilter};

use super::Letters;

const PASSWORD: &str = "a long walk on a short pier";

/// Signs in users by name, on any goat; created by [`Goat::testing`].
///
/// On a [`TestGoat`](super::TestGoat), which has spare roles, any set of permissions is available.
/// On an application's own goat only the application's roles are: a sign-in with permissions uses a
/// role with exactly these, and the test fails if there is none.
///
/// It writes users and sessions into the goat's stores, hashes with its hasher, and is subject to
/// its policies and quotas. It uses the clock that the goat was built with; to move it, build the
/// goat with a [`ManualClock`](super::ManualClock).
///
/// ```
/// use std::sync::Arc;
/// use goat_core::access::permissions::{USER_CHANGE_STATUS, USER_READ, USER_UPDATE};
/// use goat_core::testing::PlainHasher;
/// use goat_core::{Goat, Stores, token::TokenKeys};
///
/// // The application's own construction.
/// fn goat(stores: Stores) -> goat_core::Result<Goat> {
///     Goat::builder(stores, TokenKeys::generate()).hasher(Arc::new(PlainHasher::default())).build()
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> goat_core::Result<()> {
/// let goat = goat(Stores::memory())?;
/// let alice = goat.testing().sign_in("alice", [USER_READ, USER_UPDATE, USER_CHANGE_STATUS]).await;
/// assert_eq!(alice.user.role.as_str(), "operator");
/// let bob = goat.testing().sign_in_as("bob", "client").await;
/// assert_eq!(goat.authenticate_token(bob.access_token()).await?.user(), bob.user.id);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Testing {
    goat: Goat,
}

/// A signed-in user.
#[derive(Clone, Debug)]
#[non_exhaustive]
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

    /// The value of the `Authorization` header for this user's requests.
    #[must_use]
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.access_token())
    }
}

/// For users that a test creates and signs in by itself.
impl From<SignedIn> for TestUser {
    fn from(signed_in: SignedIn) -> Self {
        let SignedIn { user, session, tokens, device_token: _ } = signed_in;
        Self { user, session, tokens }
    }
}

/// For tests (feature `testing`).
impl Goat {
    /// Signs in users by name, through the public API; see [`Testing`].
    #[must_use]
    pub fn testing(&self) -> Testing {
        Testing { goat: self.clone() }
    }
}

impl Testing {
    pub(super) fn goat(&self) -> &Goat {
        &self.goat
    }

    /// Signs in a user whose role has exactly these permissions, the lowest such role: usually the
    /// lowest of all for no permissions, and the highest for `full_access`.
    ///
    /// The user `<name>@example.org` is created at its first sign-in. Another sign-in starts
    /// another session, and changes the role if the permissions differ; earlier sessions continue
    /// with the new rights.
    ///
    /// # Panics
    ///
    /// If no role has exactly these permissions and no spare role is left; the message lists the
    /// roles for [`sign_in_as`](Self::sign_in_as). If the name is not a valid local part of an
    /// e-mail address, if a user of that name was created by other means, or if the goat rejects
    /// the sign-in, with its reason.
    #[track_caller]
    pub fn sign_in<P>(
        &self,
        name: &str,
        permissions: P,
    ) -> impl Future<Output = TestUser> + Send + use<P>
    where
        P: IntoIterator<Item = Permission>,
    {
        let (goat, name, caller) = (self.goat.clone(), name.to_owned(), Location::caller());
        let wanted = reduced(permissions);
        async move { signed_in(&name, caller, sign_in(&goat, &name, &wanted).await) }
    }

    /// Signs in a user with a role of the goat's role set; otherwise like
    /// [`sign_in`](Self::sign_in).
    ///
    /// # Panics
    ///
    /// If there is no such role, if the name is not a valid local part of an e-mail address, if a
    /// user of that name was created by other means, or if the goat rejects the sign-in, with its
    /// reason.
    #[track_caller]
    pub fn sign_in_as(
        &self,
        name: &str,
        role: &str,
    ) -> impl Future<Output = TestUser> + Send + use<> {
        let (goat, name, caller) = (self.goat.clone(), name.to_owned(), Location::caller());
        let role = role.to_owned();
        async move { signed_in(&name, caller, sign_in_as(&goat, &name, &role).await) }
    }

    /// Returns the letters that were sent, of a goat that was built with
    /// [`Builder::test_letters`](crate::Builder::test_letters).
    ///
    /// # Panics
    ///
    /// Of another goat.
    #[must_use]
    #[track_caller]
    pub fn letters(&self) -> Letters {
        match self.goat.letters() {
            Some(letters) => letters.clone(),
            None => panic!("build the goat with `Builder::test_letters` to read its letters"),
        }
    }

    /// Changes a user's attributes by a merge patch: `null` removes a key. The next request of each session
    /// has them in [`Principal::profile`](crate::Principal::profile).
    ///
    /// ```
    /// use goat_core::testing::TestGoat;
    /// use serde_json::json;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> goat_core::Result<()> {
    /// let test = TestGoat::new();
    /// let alice = test.sign_in("alice", []).await;
    /// test.goat.testing().set_attributes(alice.user.id, json!({ "plan": "pro" })).await;
    /// let me = test.goat.authenticate_token(alice.access_token()).await?;
    /// assert_eq!(me.profile().attributes.text("plan").as_deref(), Some("pro"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If the attributes are against the bounds, if there is no such user, or if a store fails.
    #[track_caller]
    pub fn set_attributes(
        &self,
        user: UserId,
        attributes: Value,
    ) -> impl Future<Output = User> + Send + use<> {
        let (goat, caller) = (self.goat.clone(), Location::caller());
        async move {
            let actor = Actor::system("a test sets attributes");
            let changed = async {
                let patch = AttributePatch::parse(attributes)?;
                goat.users().change_attributes(actor, user, patch).await
            };
            let changed = changed.await;
            changed.unwrap_or_else(|error| {
                let violations = error.violations();
                panic!("cannot set the attributes of {user} at {caller}: {error} {violations:?}")
            })
        }
    }
}

/// The panic names the caller's location, which a future does not know.
fn signed_in(name: &str, caller: &Location<'_>, outcome: Result<TestUser, String>) -> TestUser {
    outcome.unwrap_or_else(|reason| panic!("{name:?} cannot sign in at {caller}: {reason}"))
}

async fn sign_in(
    goat: &Goat,
    name: &str,
    wanted: &BTreeSet<Permission>,
) -> Result<TestUser, String> {
    let (_turn, role) = role_with(goat, wanted).await?;
    sign_in_as(goat, name, role.as_str()).await
}

/// Returns a role with exactly these permissions. Until the guard is dropped no other call takes a spare
/// role: the role is taken once a user has it.
pub(super) async fn role_with<'a>(
    goat: &'a Goat,
    wanted: &BTreeSet<Permission>,
) -> Result<(MutexGuard<'a, ()>, Role), String> {
    let turn = goat.spare_roles().turn.lock().await;
    let roles = goat.roles().list().await.map_err(because("cannot read the roles"))?;
    let has_them = |role: &&RoleSummary| reduced(role.permissions.clone()) == *wanted;
    if let Some(summary) = roles.iter().find(has_them) {
        return Ok((turn, summary.role.clone()));
    }
    let role = free(goat, &roles).await?.ok_or_else(|| no_role(goat, wanted, &roles))?;
    for permission in wanted {
        let actor = Actor::system("a test needs a role");
        let granted = goat.roles().grant(actor, role.as_str(), permission.clone()).await;
        granted.map_err(because("cannot grant permissions to a spare role"))?;
    }
    Ok((turn, role))
}

async fn sign_in_as(goat: &Goat, name: &str, role: &str) -> Result<TestUser, String> {
    let email = Email::parse(&format!("{name}@example.org"))
        .map_err(|_| "the name must be the local part of an e-mail address".to_owned())?;
    let roles = goat.roles();
    // Stored roles are known once they are loaded.
    roles.list().await.map_err(because("cannot read the roles"))?;
    let wanted = roles.get(role);
    let role = wanted.ok_or_else(|| format!("the role {role:?} {}", roles.must_be_a_role()))?;
    let password = password(&goat.settings().passwords);
    let user = found_or_made(goat, &email, &role, &password).await?;
    if user.role != role {
        let actor = Actor::system("a test signs a user in");
        let changed = goat.users().change_role(actor, user.id, role).await;
        changed.map_err(because("cannot change the role"))?;
    }
    let origin = Origin::default();
    let login = Login {
        email: email.as_str().into(),
        password: password.into(),
        device_token: None,
        origin,
    };
    let signed_in = goat.login(login).await.map_err(|error| match error.kind() {
        ErrorKind::InvalidCredentials => "this user exists already with another password: \
             use another name"
            .to_owned(),
        ErrorKind::RateLimited => "too many sign-ins to one account: build the goat with \
             Settings { account_quota: None, .. }, or advance its clock"
            .to_owned(),
        _ => because("cannot sign in")(error),
    })?;
    Ok(signed_in.value.into())
}

/// Finds the user with this address, or creates it.
async fn found_or_made(
    goat: &Goat,
    email: &Email,
    role: &Role,
    password: &str,
) -> Result<User, String> {
    let find = async || {
        let found = goat.users().find_by_email(email).await;
        found.map_err(because("cannot look up users"))
    };
    if let Some(user) = find().await? {
        return Ok(user);
    }
    let new = NewUser {
        email: email.clone(),
        password: Some(password.into()),
        role: role.clone(),
        status: Status::Active,
    };
    match goat.users().create(Actor::system("a test signs a user in"), new).await {
        Ok(user) => Ok(user),
        // A concurrent sign-in with the same name.
        Err(error) if error.kind() == ErrorKind::EmailTaken => {
            find().await?.ok_or_else(|| because("cannot create the user")(error))
        }
        Err(error) => Err(because("cannot create the user")(error)),
    }
}

/// An unused spare role. One that lost its permissions is not free while a user has it: that user
/// must not gain the permissions of the next sign-in.
async fn free(goat: &Goat, roles: &[RoleSummary]) -> Result<Option<Role>, String> {
    for summary in roles.iter().filter(|summary| summary.permissions.is_empty()) {
        let role = &summary.role;
        if !goat.spare_roles().roles.contains(role) {
            continue;
        }
        let filter = UserFilter { roles: vec![role.clone()], ..UserFilter::default() };
        let page = goat.users().list_all(filter).await;
        if page.map_err(because("cannot list users"))?.users.is_empty() {
            return Ok(Some(role.clone()));
        }
    }
    Ok(None)
}

fn no_role(goat: &Goat, wanted: &BTreeSet<Permission>, roles: &[RoleSummary]) -> String {
    let wanted = listed(wanted);
    if roles.iter().any(|summary| goat.spare_roles().roles.contains(&summary.role)) {
        return format!("all spare roles are taken, and no role has exactly {wanted}");
    }
    let roles: Vec<_> = roles
        .iter()
        .map(|summary| format!("{:?} ({})", summary.role.as_str(), listed(&summary.permissions)))
        .collect();
    format!(
        "no role of this goat has exactly {wanted}. Use one of the roles with \
         sign_in_as(name, role): {}. If the roles do not matter, use a \
         TestGoat, which has spare roles",
        roles.join(", ")
    )
}

fn listed<'a>(permissions: impl IntoIterator<Item = &'a Permission>) -> String {
    let names: Vec<_> = permissions.into_iter().map(Permission::as_str).collect();
    if names.is_empty() { "no permission".to_owned() } else { names.join(" ") }
}

/// The smallest set of permissions with the same effect.
pub(super) fn reduced(permissions: impl IntoIterator<Item = Permission>) -> BTreeSet<Permission> {
    let all = BTreeSet::from_iter(permissions);
    if all.contains(&Permission::FULL_ACCESS) {
        return BTreeSet::from([Permission::FULL_ACCESS]);
    }
    let whole: BTreeSet<_> = all
        .iter()
        .filter_map(Permission::parts)
        .filter(|(_, verb)| *verb == "*")
        .map(|(resource, _)| resource.to_owned())
        .collect();
    let is_needed = |permission: &Permission| {
        let parts = permission.parts();
        parts.is_none_or(|(resource, verb)| verb == "*" || !whole.contains(resource))
    };
    all.into_iter().filter(is_needed).collect()
}

/// Adjusts the password to the policy's length.
fn password(policy: &PasswordPolicy) -> String {
    let length = PASSWORD.len().clamp(policy.minimum(), policy.maximum());
    PASSWORD.chars().cycle().take(length).collect()
}

pub(super) fn because<E: Display>(what: &'static str) -> impl Fn(E) -> String {
    move |error| format!("{what}: {error}")
}
