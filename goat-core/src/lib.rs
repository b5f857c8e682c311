//! Users, sessions, roles and limits for Rust services: the rules and the storage, free of any
//! framework.

pub mod access;
mod clock;
mod error;
pub mod event;
mod id;
pub mod limit;
pub mod notice;
mod page;
mod secret;
pub mod session;
pub mod store;
mod task;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod user;
pub mod token;

pub use access::{Actor, FreshPrincipal, Permission, Principal, Role, RoleSet};
pub use clock::{Clock, SystemClock, Time, Timestamp};
pub use error::{Error, ErrorKind, Result, StoreError, Violation};
pub use id::{GrantId, InvalidId, SessionId, TokenId, UserId};
pub use limit::Quota;
pub use page::{PAGE_MAXIMUM, PAGE_REACH, Page, PageRequest};
pub use secret::Secret;
pub use store::Stores;
pub use user::{Email, Status, User};
pub use token::{AccessClaims, RefreshClaims, TokenKeys, TokenSettings, Tokens};
