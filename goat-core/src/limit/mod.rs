//! Limits: how much somebody may do in a while.
//!
//! A [`Quota`] says how much, a [`LimitKey`] whose counter it is, and [`Limits`] charges it.
//!
//! Limits are sliding windows and exact: never more than the quota in any window, whenever it
//! begins. A fixed window would let twice as much through around its edge.
//!
//! A quota with a [burst](Quota::burst) is a pace instead, by the generic cell rate algorithm: one
//! call is given back each `window / limit`, and no more than the burst are ever there at once. It
//! is as exact, about another promise: never more than `burst + t * limit / window` in any time
//! `t`, which in a window is up to the burst more than the limit. In return it gives back evenly,
//! and takes the same memory whatever the limit. [`Quota`] has the two side by side:
//!
//! ```
//! use goat_core::Quota;
//!
//! // A promise: nobody tries more than five passwords in any minute.
//! const ATTEMPTS: Quota = Quota::per_minute(5);
//! // An even load: fifty a second, and no more than twenty of them at the same moment.
//! const SEARCHES: Quota = Quota::per_second(50).burst(20);
//! ```
//!
//! Who calls chooses the spelling of a key. Whatever has several spellings, such as an e-mail
//! address, must be brought to one form first, or each spelling has a quota of its own.

mod account;
mod key;
mod pace;
mod service;
mod store;

pub(crate) use account::AccountLimit;
pub use account::Charged;
pub use key::LimitKey;
pub(crate) use pace::Pace;
pub use service::{Charging, Limits};
pub use store::{LimitLoad, LimitStore, Spending, Spent};

pub use crate::quota::Charge;
pub(crate) use crate::quota::Quota;
