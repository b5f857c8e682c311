//! What a client sends, read strictly: bodies, queries and path segments as typed values, or one
//! answer that names everything wrong with them.
//!
//! - Nothing is dropped in silence: a member or parameter that the route does not know is a
//!   violation, also in another case, also when it is given twice (A4).
//! - Everything is bounded before it is looked at: bytes, depth of nesting, echoed names (H2).
//! - No value that was sent is ever sent back or logged, and no library's words are shown.
//!
//! A handler lists its extractors in the order in which their answers win: path, query, body.
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
//!         // Ask for everything first, so that everything wrong is named at once.
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
mod fields;
mod findings;
mod json;
mod path;
mod query;
mod rejection;

pub use body::{BODY_LIMIT, Json};
pub use fields::{Fields, FromFields, FromFieldsWith};
pub use findings::Refused;
pub use json::{MAX_DEPTH, Malformed, Object, Value};
pub use path::{Id, Segment, path_is_canonical};
pub use query::{FromQuery, FromQueryWith, NoQuery, Page, Parameters, Query};
pub use rejection::Rejection;
