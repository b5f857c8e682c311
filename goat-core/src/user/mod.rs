//! User values: accounts, service accounts, status, e-mail addresses, attributes, and the queries of user
//! lists.

pub(crate) mod account;
mod attributes;
pub(crate) mod email;
mod list;
mod service;

pub use account::{Account, NewUser, Revisions, UserState, UserUpdate};
pub(crate) use account::{Status, User};
pub use attributes::{AttributePatch, Attributes, InvalidAttribute};
pub(crate) use email::Email;
pub use email::InvalidEmail;
pub(crate) use list::canonical_search;
pub use list::{Sort, SortKey, UserFilter, UserPage, UserQuery};
pub use service::{InvalidServiceName, NewService, ServiceName, UserKind};
