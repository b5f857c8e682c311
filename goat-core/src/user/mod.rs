//! Users: who they are, what state they are in, and what an application may ask about them.

pub(crate) mod account;
pub(crate) mod email;
mod list;
mod service;
mod store;

pub use account::{Account, UserState};
pub(crate) use account::{Status, User};
pub(crate) use email::Email;
pub use email::InvalidEmail;
pub use list::{Sort, SortKey, UserFilter, UserPage, UserQuery};
pub(crate) use service::Inner;
pub use service::{NewUser, Profile, UserUpdate, Users};
pub use store::{
    ActorView, Rehashed, SAMPLED_HASHES, UserChange, UserSnapshot, UserStore, UserWrite,
    UserWriteOutcome, sampled_hashes,
};
