//! Limits: how much somebody may do in a while.

mod key;
mod quota;
mod store;

pub use key::LimitKey;
pub use quota::{Charge, Quota};
pub use store::{LimitStore, Spending, Spent};
