//! An application as a user would write it: gRPC services behind goat's layers, on tonic.
//!
//! It shows that `Server::builder().layer(…)` accepts the layers unchanged, around all services, and
//! `add_service` a service behind a layer; that the peer is found in tonic's extension; and that a
//! handler reads the principal from the extensions.

mod service;

use goat_tower::GoatExt as _;
use goat_tower::goat_core::{Goat, Permission, Quota};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Error, Server};
use tower_layer::Layer as _;

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
    Server::builder()
        .layer(goat.limit(Quota::per_minute(10)).by_address())
        .layer(goat.authenticate())
        .layer(goat.limit(Quota::per_minute(3)).by_user())
        .add_service(goat.require(REPORTS).layer(Reports))
        .add_service(Account)
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await
}
