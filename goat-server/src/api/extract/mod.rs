//! Strict extractors: bodies, queries and path segments as typed values, or one response that lists
//! every violation.
//!
//! - Nothing is ignored: an unknown member or parameter is a violation, also if only its case
//!   differs, and so is a duplicate (A4).
//! - Everything is bounded before it is read: bytes, nesting depth, echoed names (H2).
//! - No value is ever sent back or logged, and no parser's message is shown.
//!
//! A handler lists its extractors in the order in which their errors take precedence: path, query,
//! body.
//!
//! ```
//! use axum::{Router, routing::put};
//! use goat_core::{Secret, UserId};
//! use goat_server::api::extract::{Fields, FromFields, Id, Json, NoQuery, Refused};
//!
//! struct ChangePassword {
//!     current: Secret<String>,
//!     new: Secret<String>,
//! }
//!
//! impl FromFields for ChangePassword {
//!     fn from_fields(fields: &mut Fields) -> Result<Self, Refused> {
//!         // Request every member first, so that every violation is reported at once.
//!         let current = fields.secret("current_password");
//!         let new = fields.secret("new_password");
//!         Ok(Self { current: current?, new: new? })
//!     }
//! }
//!
//! async fn change(Id(_user): Id<UserId>, _: NoQuery, Json(_body): Json<ChangePassword>) {}
//!
//! let _: Router = Router::new().route("/user/{id}/password", put(change));
//! ```

mod body;
mod cookies;
mod fields;
mod findings;
mod form;
mod json;
mod path;
mod query;
mod rejection;

pub use body::{BODY_LIMIT, Json};
pub(crate) use cookies::SessionCookies;
pub use fields::{Fields, FromFields, FromFieldsWith};
pub(crate) use findings::shown;
pub use findings::{Refused, Violations};
pub(crate) use form::TokenForm;
pub use json::{MAX_DEPTH, Malformed, Object, Value};
pub use path::{Id, Ids, Segment, path_is_canonical};
pub use query::{FromQuery, FromQueryWith, NoQuery, Page, Parameters, Query};
pub use rejection::Rejection;
