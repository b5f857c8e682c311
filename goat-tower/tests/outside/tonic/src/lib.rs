//! A gRPC service behind goat's layers, served by tonic.
//!
//! What it shows to hold outside the workspace: `Server::builder().layer(…)` takes the layers as they
//! are, around all services or, by `named_layer`, around one; the peer is found where tonic leaves
//! it; and a handler reads whose call it is from the extensions.

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

/// Whoever has it may read the reports.
pub const REPORTS: Permission = Permission::new("report:read");

/// Serves reports to those who may read them, and accounts to everybody who is signed in: ten calls
/// a minute for an address, three for a user.
///
/// # Errors
///
/// Why the listener failed.
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
