//! Limits: how much somebody may do in a while.
//!
//! A [`Quota`] says how much, a [`LimitKey`] whose counter it is, and [`Limits`] charges it. Limits
//! are sliding windows and exact: never more than the quota in any window, whenever it begins. A
//! fixed window would let twice as much through around its edge.
//!
//! Who calls chooses the spelling of a key. Whatever has several spellings, such as an e-mail
//! address, must be brought to one form first, or each spelling has a quota of its own.

mod account;
mod key;
mod service;
mod store;

pub(crate) use account::AccountLimit;
pub use account::Charged;
pub use key::LimitKey;
pub use service::{Charging, Limits};
pub use store::{LimitLoad, LimitStore, Spending, Spent};

pub use crate::quota::Charge;
pub(crate) use crate::quota::Quota;
