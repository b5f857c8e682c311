//! Access control values: permissions, roles, grants and the role table.

mod grant;
pub(crate) mod permission;
pub(crate) mod role;
mod table;

pub use grant::{Grant, RoleRows};
pub(crate) use permission::Permission;
pub use permission::{InvalidPermission, permissions};
pub use role::{InvalidRole, Rank, RoleSummary};
pub(crate) use role::{Role, RoleSet};
pub use table::Rights;
pub(crate) use table::RoleTable;
