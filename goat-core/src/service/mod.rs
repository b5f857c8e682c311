//! Services: the operations that an application calls, one flow per file.

mod account_limit;
mod authenticate;
mod context;
mod login;
mod logout;
mod policy;
mod principal;
mod readiness;
mod refresh;
mod role_table;
mod roles;
mod session_cache;
mod session_validator;
mod sessions;
mod signup;
mod token_pair;
mod users;
mod users_admin;
mod users_self;

pub(crate) use account_limit::AccountLimit;
pub use authenticate::Authentication;
pub(crate) use context::Context;
pub use login::{Login, SignedIn};
pub(crate) use policy::{Policy, Standing};
pub(crate) use principal::ActorFacts;
pub use principal::{Actor, FreshPrincipal, Principal};
pub(crate) use readiness::Readiness;
pub use refresh::Refreshed;
pub(crate) use role_table::RoleTableCache;
pub use roles::Roles;
pub(crate) use session_cache::{FillToken, SessionCache};
pub(crate) use session_validator::SessionValidator;
pub use sessions::Sessions;
pub use signup::SignUp;
pub use token_pair::TokenPair;
pub use users::Users;
