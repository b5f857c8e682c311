//! What a request's principal must be and may do, as one value that is put together from small ones.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use goat_core::access::Roles;
use goat_core::{Permission, Principal, Role};

/// What a request needs: permissions, roles, whatever a function says, and any combination of these.
/// Cheap to clone, and readable in words as its `Debug` and `Display`.
///
/// A permission and a role stand for themselves wherever a requirement is asked for, and an array is
/// needed as a whole. To say nothing of who it may be is to ask for somebody: nothing here is met by a
/// stranger.
///
/// ```
/// use goat_core::testing::TestGoat;
/// use goat_core::Permission;
/// use goat_tower::{GoatExt, Requirement};
///
/// const READ: Permission = Permission::new("report:read");
/// const WRITE: Permission = Permission::new("report:write");
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let goat = TestGoat::new().goat;
/// let admin = goat.roles().get("admin").expect("a role of this goat");
/// let is_even = Requirement::when("even session", |me| me.session().as_u128() % 2 == 0);
///
/// let requirement = Requirement::from([READ, WRITE]).and(is_even.or(&admin));
/// assert_eq!(
///     requirement.to_string(),
///     "report:read and report:write and (even session or role admin)"
/// );
/// let layer = goat.require(requirement);
/// # Ok(())
/// # }
/// ```
///
/// A text is none, and does not compile; see
/// [`IntoRequirement`](crate::IntoRequirement).
#[derive(Clone)]
pub struct Requirement(pub(super) Rule);

#[derive(Clone)]
pub(super) enum Rule {
    Permission(Permission),
    Role(Role),
    /// A role that the goat in question does not have: nobody is in it.
    Unknown(Role),
    When(Predicate),
    All(Arc<[Requirement]>),
    Any(Arc<[Requirement]>),
}

/// A function over whoever asks, with a name for the log.
#[derive(Clone)]
pub(super) struct Predicate {
    name: Cow<'static, str>,
    function: Arc<Function>,
}

type Function = dyn Fn(&Principal) -> bool + Send + Sync;

impl Predicate {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn holds_for(&self, principal: &Principal) -> bool {
        (self.function)(principal)
    }
}

impl Requirement {
    /// Every one of them. Without any, to be signed in is enough.
    #[must_use]
    pub fn all<R: Into<Self>>(requirements: impl IntoIterator<Item = R>) -> Self {
        let mut parts = Vec::new();
        for requirement in requirements {
            match requirement.into().0 {
                Rule::All(inner) => parts.extend_from_slice(&inner),
                rule => parts.push(Self(rule)),
            }
        }
        Self::of(parts, Rule::All)
    }

    /// At least one of them. Without any, nobody is let through.
    ///
    /// ```
    /// use goat_core::Permission;
    /// use goat_tower::Requirement;
    ///
    /// const READ: Permission = Permission::new("report:read");
    /// const AUDIT: Permission = Permission::new("audit:read");
    /// assert_eq!(Requirement::any([READ, AUDIT]).to_string(), "report:read or audit:read");
    /// ```
    #[must_use]
    pub fn any<R: Into<Self>>(requirements: impl IntoIterator<Item = R>) -> Self {
        let mut parts = Vec::new();
        for requirement in requirements {
            match requirement.into().0 {
                Rule::Any(inner) => parts.extend_from_slice(&inner),
                rule => parts.push(Self(rule)),
            }
        }
        Self::of(parts, Rule::Any)
    }

    fn of(mut parts: Vec<Self>, rule: fn(Arc<[Self]>) -> Rule) -> Self {
        match parts.pop() {
            Some(one) if parts.is_empty() => one,
            last => {
                parts.extend(last);
                Self(rule(parts.into()))
            }
        }
    }

    /// This very role, and no higher one; ask for a permission where any role may have it. Roles come
    /// from [`Roles::get`], so that a misspelt one is found at the start. A role that the goat does not
    /// have lets nobody in, whatever stands in its database, and is an error in the log when the layer
    /// is made.
    #[must_use]
    pub fn role(role: Role) -> Self {
        Self(Rule::Role(role))
    }

    /// This role or a higher one, by the ranks of a goat's set. Nobody, if the set does not have the
    /// role; and never somebody whose role it does not have.
    ///
    /// ```
    /// use goat_core::testing::TestGoat;
    /// use goat_tower::Requirement;
    ///
    /// let goat = TestGoat::new().goat;
    /// let highest = goat.roles().get("admin").expect("a role of this goat");
    /// assert_eq!(Requirement::at_least(goat.roles(), &highest).to_string(), "role admin");
    /// ```
    #[must_use]
    pub fn at_least(roles: &Roles, role: &Role) -> Self {
        let rising = roles.names().into_iter();
        Self::any(rising.skip_while(|lower| lower != role))
    }

    /// Whoever the function says. The name stands for it in the log and in the reason of a denial.
    ///
    /// It is asked on each request and must answer at once; what has to be read from somewhere is a
    /// handler's matter. With [`fresh`](crate::RequireLayer::fresh) it is asked again, of the principal
    /// as the stores know it now. It sees who asks and not for what: whether `/tenants/{id}` names the
    /// tenant of whoever asks is the handler's to say, or a middleware's.
    ///
    /// ```
    /// use std::collections::HashSet;
    /// use std::sync::{Arc, RwLock};
    ///
    /// use goat_core::UserId;
    /// use goat_tower::Requirement;
    ///
    /// let at_acme: Arc<RwLock<HashSet<UserId>>> = Arc::default(); // kept up to date by the application
    /// let of_acme = Requirement::when("of acme", move |me| {
    ///     at_acme.read().is_ok_and(|users| users.contains(&me.user()))
    /// });
    /// assert_eq!(of_acme.to_string(), "of acme");
    /// ```
    #[must_use]
    pub fn when(
        name: impl Into<Cow<'static, str>>,
        predicate: impl Fn(&Principal) -> bool + Send + Sync + 'static,
    ) -> Self {
        let function = Arc::new(predicate);
        Self(Rule::When(Predicate { name: name.into(), function }))
    }

    /// No permission in particular: to be signed in is enough.
    #[must_use]
    pub fn signed_in() -> Self {
        Self(Rule::All(Arc::default()))
    }

    /// This and that.
    #[must_use]
    pub fn and(self, other: impl Into<Self>) -> Self {
        Self::all([self, other.into()])
    }

    /// This or that.
    #[must_use]
    pub fn or(self, other: impl Into<Self>) -> Self {
        Self::any([self, other.into()])
    }
}

impl From<Permission> for Requirement {
    fn from(permission: Permission) -> Self {
        Self(Rule::Permission(permission))
    }
}

impl From<&Permission> for Requirement {
    fn from(permission: &Permission) -> Self {
        permission.clone().into()
    }
}

impl From<Role> for Requirement {
    fn from(role: Role) -> Self {
        Self::role(role)
    }
}

impl From<&Role> for Requirement {
    fn from(role: &Role) -> Self {
        Self::role(role.clone())
    }
}

/// All of them.
impl<R: Into<Requirement>, const N: usize> From<[R; N]> for Requirement {
    fn from(requirements: [R; N]) -> Self {
        Self::all(requirements)
    }
}

/// In words: `report:read and (role auditor or own tenant)`.
impl fmt::Display for Requirement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parts, word) = match &self.0 {
            Rule::Permission(permission) => return permission.fmt(formatter),
            Rule::Role(role) => return write!(formatter, "role {role}"),
            Rule::Unknown(role) => return write!(formatter, "unknown role {role}"),
            Rule::When(predicate) => return formatter.write_str(predicate.name()),
            Rule::All(parts) if parts.is_empty() => return formatter.write_str("signed in"),
            Rule::Any(parts) if parts.is_empty() => return formatter.write_str("nobody"),
            Rule::All(parts) => (parts, " and "),
            Rule::Any(parts) => (parts, " or "),
        };
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                formatter.write_str(word)?;
            }
            match &part.0 {
                Rule::All(inner) | Rule::Any(inner) if !inner.is_empty() => {
                    write!(formatter, "({part})")?;
                }
                _ => part.fmt(formatter)?,
            }
        }
        Ok(())
    }
}

/// As its `Display`.
impl fmt::Debug for Requirement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Requirement({self})")
    }
}
