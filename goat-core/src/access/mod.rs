//! Access: roles, the permissions they have, and who may act on whom.

mod current;
pub(crate) mod permission;
mod policy;
pub(crate) mod principal;
pub(crate) mod role;
mod service;
mod store;
mod table;

pub use permission::InvalidPermission;
pub use policy::permissions;
pub use role::{InvalidRole, Rank};
pub use service::{RoleSummary, Roles};
pub use store::{
    Grant, RoleChange, RoleRows, RoleSnapshot, RoleStore, RoleWrite, RoleWriteOutcome,
};
pub use table::Rights;

pub(crate) use current::RoleTableCache;
pub(crate) use permission::Permission;
pub(crate) use policy::{Policy, Standing};
pub(crate) use principal::{Actor, ActorFacts, FreshPrincipal, Principal};
pub(crate) use role::{Role, RoleSet};
pub(crate) use table::{RoleTable, Table};
