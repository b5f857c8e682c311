//! Users, sessions, roles and limits for Rust services: the rules and the storage, free of any
//! framework.
//!
//! goat-core is what authentication *is*. It speaks no HTTP, and has neither environment variables nor
//! process-wide state of its own: it fills the process's slot of cryptography where nobody has, and a
//! PostgreSQL's URL leaves the rest to libpq's variables. goat-tower puts it into a tower stack, and
//! goat-server runs it as a service of its own.
//!
//! # How to start
//!
//! An application keeps one [`Goat`], which is cheap to clone. It stands on [`Stores`] and on the
//! keys that sign its tokens; everything else has a default that is safe.
//!
//! ```
//! use goat_core::auth::{Login, SignUp};
//! use goat_core::session::Origin;
//! use goat_core::token::TokenKeys;
//! use goat_core::{Actor, Email, ErrorKind, Goat, Permission, Role, Stores};
//!
//! const REPORTS: Permission = Permission::new("report:read"); // a misspelt form does not compile
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let goat = Goat::builder(Stores::memory(), TokenKeys::generate()).build()?;
//!
//! // Somebody signs up, and signs in.
//! let (email, password) = ("ann@example.org", "a long walk on a short pier");
//! let origin = Origin::default();
//! let sign_up = SignUp {
//!     email: Email::parse(email)?,
//!     password: password.into(),
//!     origin: origin.clone(),
//! };
//! let ann = goat.sign_up(sign_up).await?;
//! let login = Login { email: email.into(), password: password.into(), origin: origin.clone() };
//! let tokens = goat.login(login).await?.value.tokens;
//!
//! // Each request shows the access token. What the user's role may do is asked of the principal.
//! let me = goat.authenticate_token(tokens.access_token.expose()).await?;
//! assert_eq!(me.user(), ann.id);
//! assert!(!me.may(&REPORTS));
//!
//! // A change of rights is in force when it returns.
//! goat.roles().grant(Actor::system("set up"), "client", REPORTS).await?;
//! assert!(goat.authenticate_token(tokens.access_token.expose()).await?.may(&REPORTS));
//!
//! // A refresh token works once; signing out ends the session and all its tokens.
//! let tokens = goat.refresh(&tokens.refresh_token, &origin).await?.tokens;
//! goat.logout(&me, &origin).await?;
//! let refused = goat.authenticate_token(tokens.access_token.expose()).await.unwrap_err();
//! assert_eq!(refused.kind(), ErrorKind::SessionRevoked);
//! # Ok(())
//! # }
//! ```
//!
//! # Where it keeps things
//!
//! [`Stores`] is a plain bundle, so that backends can be mixed: `Stores::memory()` for a test,
//! `Stores::sqlite(…)` (feature `sqlite`) for one machine, and for several nodes PostgreSQL (feature
//! `postgres`, 12 or later), with or without Redis (feature `redis`; 6.0 or later, Valkey alike; one
//! server, Sentinel or Cluster). What one node revokes, all refuse: at once where invalidations arrive, and
//! within [`Settings::cache_staleness`] where they are lost.
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
//! All nodes need the same token keys, and the same pepper. [`Stores::observed`] bounds and reports each
//! call, and [`Stores::cached`] puts what nodes remember together in front of the database.
//!
//! # How to test
//!
//! With the feature `testing`, `testing::TestGoat` is a goat in memory on which anybody
//! is signed in within one line. The tokens are real, and time stands still until the test moves it.
//! A goat that the application builds itself has the same from `goat.testing()`, under the
//! application's own roles and by its own clock. No check knows of any of it.
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
//! # Where things are
//!
//! | to | look at |
//! |---|---|
//! | build the handle, and set lifetimes and quotas | [`Goat::builder`], [`Builder`], [`Settings`] |
//! | sign up, sign in, be let in, go on, sign out | the methods of [`Goat`]; their requests and answers in [`auth`] |
//! | see, make, change and delete users | [`Goat::users`], [`user`] |
//! | see and end sessions | [`Goat::sessions`], [`session`] |
//! | give and take permissions, rank roles | [`Goat::roles`], [`access`], [`RoleSet`] |
//! | limit how much somebody does | [`Goat::limits`], [`limit`] |
//! | know who asks, and prove it | [`Principal`], [`FreshPrincipal`], [`Actor`] |
//! | hash and judge passwords | [`password`] |
//! | sign and verify tokens; verify them elsewhere with public keys alone | [`token`], [`token::Verifier`] |
//! | choose or write a storage | [`store`], [`Stores`]; the ports are with their concepts |
//! | hear what happens | [`event`]; nodes tell one another by [`invalidation`] |
//! | test | the `testing` module, behind the feature of that name |
//!
//! # What holds everywhere
//!
//! - One [`Error`] with an [`ErrorKind`] that says who can mend it. No error, event or `Debug`
//!   output holds a password, a token or an e-mail address.
//! - Whoever changes users or rights is an [`Actor`], which only a fresh read or the system itself
//!   makes, and is checked again inside the write's own transaction.
//! - Dropping a future leaves nothing half done: what was committed is told to caches and to other
//!   nodes on a task of its own.
//! - All of it runs on Tokio, and by the [`Clock`] that it was given.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod access;
mod aged;
pub mod auth;
mod builder;
mod clock;
mod detached;
mod error;
pub mod event;
mod goat;
mod id;
pub mod invalidation;
pub mod limit;
mod page;
pub mod password;
mod quota;
mod secret;
pub mod session;
mod settings;
pub mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod token;
pub mod user;

pub use access::permission::Permission;
pub use access::principal::{Actor, FreshPrincipal, Principal};
pub use access::role::{Role, RoleSet};
pub use builder::Builder;
pub use clock::{Clock, SystemClock, Time, Timestamp};
pub use error::{Error, ErrorKind, Result, StoreError, Violation};
pub use goat::Goat;
pub use id::{GrantId, InvalidId, SessionId, TokenId, UserId};
pub use page::{PAGE_MAXIMUM, PAGE_REACH, Page, PageRequest};
pub use quota::Quota;
pub use secret::Secret;
pub use settings::{Settings, Signup};
pub use store::stores::Stores;
pub use user::account::{Status, User};
pub use user::email::Email;
