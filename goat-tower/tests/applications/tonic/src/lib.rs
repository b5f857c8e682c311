//! An application as a user would write it: gRPC services behind goat's layers, on tonic.
//!
//! It shows that `Server::builder().layer(…)` accepts the layers unchanged, around all services or,
//! by `named_layer`, around one; that the peer is found in tonic's extension; and that a handler
//! reads the principal from the extensions.

mod service;

use goat_tower::GoatExt as _;
use goat_tower::address::ClientAddressLayer;
use goat_tower::goat_core::{Goat, Permission, Quota};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::LayerExt as _;
use tonic::transport::server::TcpConnectInfo;
use tonic::transport::{Error, Server};

pub use service::{Account, Reports};

/// The permission to read reports.
pub const REPORTS: Permission = Permission::new("report:read");

/// Serves reports to authorized users, and accounts to all authenticated users, with limits of ten
/// calls a minute per address and three per user.
///
/// # Errors
///
/// If the listener fails.
pub async fn serve(goat: Goat, listener: TcpListener) -> Result<(), Error> {
    let peer = ClientAddressLayer::new().peer_from(|extensions| {
        extensions.get::<TcpConnectInfo>().and_then(|info| info.remote_addr())
    });
    Server::builder()
        .layer(peer)
        .layer(goat.limit(Quota::per_minute(10)).by_address())
        .layer(goat.authenticate())
        .layer(goat.limit(Quota::per_minute(3)).by_user())
        .add_service(goat.require(REPORTS).named_layer(Reports))
        .add_service(Account)
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await
}
