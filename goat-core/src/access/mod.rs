//! Access: roles, the permissions they have, and who may act on whom.

mod current;
mod permission;
mod policy;
mod principal;
mod role;
mod service;
mod store;
mod table;

pub use permission::{InvalidPermission, Permission};
pub use policy::permissions;
pub use principal::{Actor, FreshPrincipal, Principal};
pub use role::{InvalidRole, Rank, Role, RoleSet};
pub use service::{RoleSummary, Roles};
pub use store::{Grant, RoleChange, RoleRows, RoleSnapshot, RoleStore, RoleWrite, RolesWritten};
pub use table::Rights;

pub(crate) use current::Access;
pub(crate) use policy::{Policy, Standing};
pub(crate) use principal::ActorFacts;
pub(crate) use table::{RoleTable, Table};
