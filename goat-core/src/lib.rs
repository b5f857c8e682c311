//! Authentication and access control for Rust services: users, sessions, roles and rate limits, with
//! their storage, independent of any web framework.
//!
//! goat-core contains the authentication domain: password login, rotating refresh tokens, revocable
//! sessions, role-based access control (RBAC) and rate limiting. It has no HTTP; goat-tower provides it
//! as middleware for tower, and goat-server as a service. It reads no environment variables (a
//! PostgreSQL URL may refer to libpq's) and keeps no process-wide state, except that it installs
//! jsonwebtoken's crypto provider if there is none.
//!
//! # Getting started
//!
//! An application keeps one [`Goat`], which is cheap to clone. It is built on [`Stores`] and on the keys
//! that sign its tokens; everything else has a safe default.
//!
//! ```
//! use goat_core::auth::{Login, SignUp};
//! use goat_core::session::Origin;
//! use goat_core::token::TokenKeys;
//! use goat_core::{Actor, Email, ErrorKind, Goat, Permission, Role, Stores};
//!
//! const REPORTS: Permission = Permission::new("report:read"); // malformed text is a compile error
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let goat = Goat::builder(Stores::memory(), TokenKeys::generate()).build()?;
//!
//! // Sign-up and login.
//! let (email, password) = ("ann@example.org", "a long walk on a short pier");
//! let origin = Origin::default();
//! let sign_up = SignUp {
//!     email: Email::parse(email)?,
//!     password: Some(password.into()),
//!     origin: origin.clone(),
//! };
//! let ann = goat.sign_up(sign_up).await?;
//! let login = Login {
//!     email: email.into(),
//!     password: password.into(),
//!     device_token: None,
//!     origin: origin.clone(),
//! };
//! let tokens = goat.login(login).await?.value.tokens;
//!
//! // Each request presents the access token; the principal knows the permissions of its role.
//! let me = goat.authenticate_token(tokens.access_token.expose()).await?;
//! assert_eq!(me.user(), ann.id);
//! assert!(!me.may(&REPORTS));
//!
//! // A grant is in force when it returns.
//! goat.roles().grant(Actor::system("setup"), "client", REPORTS).await?;
//! assert!(goat.authenticate_token(tokens.access_token.expose()).await?.may(&REPORTS));
//!
//! // A refresh token works once; logout ends the session and invalidates all its tokens.
//! let tokens = goat.refresh(&tokens.refresh_token, &origin).await?.tokens;
//! goat.logout(&me, &origin).await?;
//! let error = goat.authenticate_token(tokens.access_token.expose()).await.unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::SessionRevoked);
//! # Ok(())
//! # }
//! ```
//!
//! # Storage
//!
//! [`Stores`] is a plain struct with one port per concern, so that backends can be mixed:
//! `Stores::memory()` for a test, `Stores::sqlite(…)` (feature `sqlite`) for one machine, and for several
//! nodes PostgreSQL (feature `postgres`, 12 or later), with or without Redis (feature `redis`, 6.0 or
//! later, or Valkey; standalone, Sentinel or Cluster). A revocation on one node takes effect on all:
//! at once while the invalidation channel is connected, otherwise within
//! [`Settings::cache_staleness`].
//!
//! ```
//! # #[cfg(all(feature = "postgres", feature = "redis"))] {
//! use goat_core::store::redis::{RedisDatabase, RedisOptions};
//! use goat_core::store::sql::{PostgresDatabase, PostgresOptions};
//! use goat_core::{Settings, Stores};
//!
//! /// Users and roles in PostgreSQL; sessions, limits and invalidations in Redis.
//! fn stores(settings: &Settings) -> goat_core::Result<Stores> {
//!     let database = PostgresDatabase::open(&PostgresOptions::new("postgres://app@db/app"))?;
//!     let redis = RedisDatabase::open(&RedisOptions::new("redis://sessions"))?;
//!     Ok(Stores {
//!         sessions: redis.sessions(),
//!         invalidations: redis.invalidations(settings.cache_staleness),
//!         ..database.stores(redis.limits())
//!     })
//! }
//! # let _ = stores;
//! # }
//! ```
//!
//! All nodes need the same token keys and the same pepper. [`Stores::observed`] adds a timeout and a
//! report to each call, and [`Stores::shared_cache`] is an optional cache in front of the database that
//! all nodes share.
//! [`Goat::maintain`] removes expired sessions and challenges; spawn it once per process.
//!
//! An application with a database of its own keeps goat's tables there: `SqliteDatabase::from_pool` and
//! `PostgresDatabase::from_pool` work on its connection pool. [`Goat::prepare_sign_up`], [`Goat::sign_up_in`],
//! [`Users::create_in`] and [`Users::delete_in`] join a transaction of the application, so that goat's
//! row and the application's commit together or not at all. `adopt` keeps users in an existing table of the
//! application.
//!
//! # Testing
//!
//! With the feature `testing`, `testing::TestGoat` is an in-memory goat on which a test signs in a user
//! in one line. The tokens are real, and the clock is manual. For a goat that the application builds
//! itself, with its own roles and clock, `goat.testing()` does the same. Production code accepts no test
//! credentials.
//!
//! ```
//! # #[cfg(feature = "testing")] {
//! use goat_core::{Permission, testing::TestGoat};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> goat_core::Result<()> {
//! let test = TestGoat::new();
//! let alice = test.sign_in("alice", [Permission::new("report:read")]).await;
//! let authorization = alice.bearer(); // for the `Authorization` header of her requests
//! # assert!(authorization.starts_with("Bearer "));
//! assert_eq!(test.goat.authenticate_token(alice.access_token()).await?.user(), alice.user.id);
//!
//! test.clock.advance(std::time::Duration::from_secs(3600));
//! assert!(test.goat.authenticate_token(alice.access_token()).await.is_err());
//! # Ok(())
//! # }
//! # main().expect("it holds");
//! # }
//! ```
//!
//! # Modules
//!
//! | task | see |
//! |---|---|
//! | build a goat; set lifetimes and quotas | [`Goat::builder`], [`Builder`], [`Settings`] |
//! | sign-up, login, authentication, refresh, logout | the methods of [`Goat`], with their types in [`auth`] |
//! | manage users | [`Users`], [`user`] |
//! | list and revoke sessions | [`Sessions`], [`session`] |
//! | create, list and revoke API keys | [`Keys`], [`key`] |
//! | manage permissions and roles | [`Roles`], [`access`], [`RoleSet`] |
//! | rate limiting | [`Goat::limits`], [`limit`] |
//! | authorize an operation | [`Principal`], [`FreshPrincipal`], [`RecentPrincipal`], [`Actor`], [`RecentActor`] |
//! | password policy and hashing | [`password`] |
//! | sign and verify tokens; verify them offline with public keys | [`token`], [`token::Verifier`] |
//! | choose or implement a storage backend | [`Stores`], [`store`] |
//! | one-time secrets that await an answer | [`challenge`] |
//! | letters to users | [`courier`] |
//! | second factors and their answers | [`factor`], [`Goat::answer`] |
//! | observe events | [`event`] |
//! | invalidate the caches of other nodes | [`invalidation`] |
//! | test | the `testing` module, behind the feature of that name |
//!
//! # Guarantees
//!
//! - One [`Error`], with an [`ErrorKind`] that names the party at fault. No error, log record or `Debug`
//!   output contains a password, a token or an e-mail address.
//! - Changes of users and permissions require an [`Actor`], which only a [`FreshPrincipal`] (read from the
//!   stores in this request) or [`Actor::system`] provides. The write's own transaction checks its
//!   authorization again.
//! - Dropping a future leaves no operation half done: after a commit, a separate task invalidates the
//!   caches of all nodes.
//! - Everything runs on Tokio, with the configured [`Clock`].

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod access;
mod builder;
pub mod challenge;
mod clock;
pub mod courier;
mod crockford;
mod detached;
mod error;
pub mod event;
pub mod factor;
mod goat;
mod id;
pub mod invalidation;
pub mod key;
mod language;
pub mod limit;
mod page;
pub mod password;
mod proof;
mod quota;
mod secret;
mod service;
pub mod session;
mod settings;
mod single_flight;
pub mod store;
mod sync;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod token;
pub mod user;

/// Proofs, and requests and results of sign-up, login, authentication, refresh, a changed password, and of
/// writes within a transaction of the application.
pub mod auth {
    pub use crate::proof::{Assurance, Method, MethodName, Methods, Proof, Vouch};
    pub use crate::service::{
        Authentication, ChallengeSent, Confirmation, EmailChange, Introspection, Login, MailAnswer,
        PasswordChanged, PreparedSignUp, Recovered, Refreshed, Renewed, SignUp, SignedIn, StepUp,
        SteppedUp, TokenPair, Uncommitted, UndoEmail,
    };
}

pub use access::permission::Permission;
pub use access::role::{Role, RoleSet};
pub use builder::Builder;
pub use clock::{Clock, SystemClock, Time, Timestamp};
pub use error::{Error, ErrorKind, RequiredProof, Result, StoreError, Violation};
pub use goat::Goat;
pub use id::{
    ChallengeId, Credential, FactorId, GrantId, InvalidId, KeyId, SessionId, TokenId, UserId,
};
pub use language::Languages;
pub use page::{PAGE_MAXIMUM, PAGE_REACH, Page, PageRequest};
pub use quota::Quota;
pub use secret::Secret;
pub use service::{
    Actor, FreshPrincipal, Keys, Principal, RecentActor, RecentPrincipal, Roles, Sessions, Users,
};
pub use settings::{Settings, Signup};
pub use store::stores::Stores;
pub use user::account::{Status, User};
pub use user::email::Email;
