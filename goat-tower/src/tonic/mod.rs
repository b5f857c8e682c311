//! gRPC services on tonic: requirements per method, statuses, and the peer's address.
//!
//! The layers need no feature to work with tonic: their rejections are trailers-only responses. This feature
//! adds
//!
//! - [`require_by_method`](crate::GoatExt::require_by_method): a requirement for each method of a
//!   service, checked against the service's description when it is built;
//! - `From<Problem>` for [`Status`](::tonic::Status), so that `?` works in a handler after
//!   `.map_err(Problem::from)`; fields that are not valid are a `google.rpc.BadRequest`;
//! - the peer of tonic's server as [`PeerAddress`](crate::address::PeerAddress). Where tonic itself does TLS,
//!   [`peer_from`](crate::address::ClientAddressLayer::peer_from) reads its `TlsConnectInfo`;
//! - [`NamedService`] for services behind layers, so that
//!   `add_service` takes `goat.require(…).layer(service)`.
//!
//! ```
//! use goat_core::testing::TestGoat;
//! use goat_core::{Error, ErrorKind};
//! use goat_tower::{Principal, Problem};
//! use tonic::{Code, Request, Response, Status};
//!
//! # use goat_core::Goat;
//! # struct Reports { goat: Goat }
//! impl Reports {
//!     async fn sign_out(&self, request: Request<()>) -> Result<Response<()>, Status> {
//!         let me = Principal::of(request.extensions()).ok_or(ErrorKind::Unauthenticated);
//!         let me = me.map_err(Problem::from)?;
//!         self.goat.logout(&me, &Default::default()).await.map_err(Problem::from)?;
//!         Ok(Response::new(()))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let reports = Reports { goat: TestGoat::new().goat };
//! let status = reports.sign_out(Request::new(())).await.expect_err("no layer has authenticated it");
//! assert_eq!(status.code(), Code::Unauthenticated);
//! # }
//! ```

mod by_method;
mod status;
#[cfg(test)]
mod tests;

use ::tonic::server::NamedService;

use crate::guard::Guarded;

pub use by_method::{InvalidMethods, RequireByMethod};

/// The name of the inner service.
impl<S: NamedService, G> NamedService for Guarded<S, G> {
    const NAME: &'static str = S::NAME;
}
