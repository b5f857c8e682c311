//! Users, sessions, roles and limits for Rust services: the rules and the storage, free of any
//! framework.

pub mod access;
pub mod auth;
mod builder;
mod clock;
mod error;
pub mod event;
mod goat;
mod id;
pub mod limit;
pub mod notice;
mod page;
pub mod password;
mod quota;
mod secret;
pub mod session;
mod settings;
pub mod store;
mod task;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod token;
pub mod user;

pub use access::{Actor, FreshPrincipal, Permission, Principal, Role, RoleSet};
pub use builder::Builder;
pub use clock::{Clock, SystemClock, Time, Timestamp};
pub use error::{Error, ErrorKind, Result, StoreError, Violation};
pub use goat::Goat;
pub use id::{GrantId, InvalidId, SessionId, TokenId, UserId};
pub use page::{PAGE_MAXIMUM, PAGE_REACH, Page, PageRequest};
pub use quota::Quota;
pub use secret::Secret;
pub use settings::{Settings, Signup};
pub use store::Stores;
pub use user::{Email, Status, User};
