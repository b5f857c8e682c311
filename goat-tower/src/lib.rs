//! Authentication, permissions and rate limits as tower layers, for axum, tonic, bare hyper and
//! whatever else speaks `tower::Service<http::Request<B>>`.
//!
//! What stands here works without a store or a handle:
//!
//! - [`address`] finds the client's address, behind proxies too, and believes nobody by default.
//! - [`bearer()`] reads the bearer token of a request.
//! - [`Charges`] collects what every limit said and shows it in the `RateLimit` headers.
//! - [`Denial`] is why a layer refused a request, and [`RenderDenial`] how that looks:
//!   [`ProblemDetails`] unless an application wants otherwise.
//! - [`Problem`] is a problem document (RFC 9457), for denials and for handlers' own errors alike;
//!   which answer each kind of error gets is one table.
//! - [`ResponseBody`] is the body of a guarded service: the inner one, or a denial's few bytes.
//! - [`RequestId`] is what a problem document shows of the log.
//!
//! No type here has a parameter that an application must name, and no layer asks more of a body
//! than to be one.

pub mod address;
#[cfg(feature = "axum")]
mod axum;
mod bearer;
mod body;
mod charges;
mod denial;
mod grpc;
mod json;
mod problem;
mod request_id;

pub use bearer::{BearerError, bearer};
pub use body::ResponseBody;
pub use charges::{Charges, Collector, write_rate_limits};
pub use denial::{Denial, ProblemDetails, RenderDenial};
pub use problem::Problem;
pub use request_id::RequestId;
