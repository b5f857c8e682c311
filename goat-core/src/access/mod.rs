//! Access control values: permissions, roles, grants and the role table.

mod difference;
mod grant;
pub(crate) mod permission;
pub(crate) mod role;
mod table;

pub use difference::RoleDifference;
pub use grant::{Grant, RoleRows};
pub(crate) use permission::Permission;
pub use permission::{InvalidPermission, permissions};
pub use role::{InvalidNewRole, InvalidRole, MAX_ROLES, NewRole, Rank, RoleSummary, StoredRole};
pub(crate) use role::{Role, RoleSet};
pub use table::Rights;
pub(crate) use table::{RoleSource, RoleTable};
