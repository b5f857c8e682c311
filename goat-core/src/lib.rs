//! Users, sessions, roles and limits for Rust services: the rules and the storage, free of any
//! framework.

mod clock;
mod error;
mod id;
pub mod limit;
pub mod password;
mod secret;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use clock::{Clock, SystemClock, Time, Timestamp};
pub use error::{Error, ErrorKind, Result, StoreError, Violation};
pub use id::{GrantId, InvalidId, SessionId, TokenId, UserId};
pub use limit::Quota;
pub use secret::Secret;
