//! Reports over gRPC, on tonic.
//!
//! Sign up, sign in and out; list, publish and follow (stream) reports, with permissions per
//! method. The messages are in the `.proto` text of `api.rs`; with it in a file `reports.proto`:
//!
//! ```text
//! cargo run -p examples --bin tonic
//! alias call='grpcurl -plaintext -proto reports.proto'
//! form='{"email": "ann@example.org", "password": "a long walk on a short pier"}'
//! call -d "$form" localhost:3000 reports.Accounts/SignUp
//! call -d "$form" localhost:3000 reports.Accounts/SignIn
//! call -H "authorization: Bearer <the access token>" localhost:3000 reports.Reports/List
//! ```
//!
//! - `api.rs`: messages and services. `accounts.rs` and `reports.rs`: the methods, without any
//!   authorization. This file: the layers that authorize.
//! - goat's layers reject gRPC calls with a trailers-only response and `grpc-status` 16
//!   (unauthenticated), 7 (permission denied), 8 (resource exhausted) or 14 (unavailable). This
//!   needs no setting.
//! - gRPC has no cookies: tokens are message fields, and clients send them in the metadata
//!   `authorization`, which is the HTTP header of that name.

mod accounts;
mod api;
mod reports;

use goat_core::token::TokenKeys;
use goat_core::{Actor, Error, ErrorKind, Goat, Permission, Quota, Stores};
use goat_tower::address::ClientAddressLayer;
use goat_tower::{GoatExt as _, Principal, Problem};
use tokio::net::TcpListener;
use tonic::metadata::MetadataMap;
use tonic::service::{LayerExt as _, Routes};
use tonic::transport::Server;
use tonic::transport::server::{TcpConnectInfo, TcpIncoming};
use tonic::{Code, Request, Status};
use tower::{Layer as _, ServiceBuilder};

use accounts::AccountsService;
use api::accounts_server::AccountsServer;
use api::reports_server::ReportsServer;
use reports::ReportsService;

const REPORTS: Permission = Permission::new("report:read");
const AUDIT: Permission = Permission::new("report:audit");

/// Converts an error of goat or of the application into a gRPC status: its code, and the message
/// written for clients. Internal causes are not included.
fn to_status(problem: impl Into<Problem>) -> Status {
    let problem = problem.into();
    let mut metadata = MetadataMap::new();
    if let Some(seconds) = problem.retry_after_seconds() {
        metadata.insert("retry-after", seconds.into());
    }
    Status::with_metadata(Code::from(problem.grpc_status()), problem.detail(), metadata)
}

/// Returns the authenticated principal. Fails closed if a layer is missing.
fn principal<T>(request: &Request<T>) -> Result<Principal, Status> {
    let unauthenticated = || to_status(Error::from(ErrorKind::Unauthenticated));
    Principal::of(request.extensions()).ok_or_else(unauthenticated)
}

/// Mounts the services and maps methods to permissions.
///
/// `named_layer` protects a whole service and keeps its name for tonic. Where methods differ, each
/// is a route of its own: a tonic service responds on any path, so it can be mounted several times.
/// A method without a route is not served (`UNIMPLEMENTED`), so none is public by accident.
fn routes(goat: &Goat) -> Routes {
    let accounts = AccountsServer::new(AccountsService::new(goat.clone()));
    let reports = ReportsServer::new(ReportsService::new(goat.clone()));
    // In a `ServiceBuilder` the first layer is the outermost.
    let publishing = ServiceBuilder::new()
        .layer(goat.require(REPORTS))
        .layer(goat.limit(Quota::per_minute(5)).named("publish").by_user());
    Routes::new(goat.authenticate().optional().named_layer(accounts))
        .into_axum_router()
        .route_service("/reports.Reports/List", goat.require(REPORTS).layer(reports.clone()))
        .route_service("/reports.Reports/Follow", goat.require(REPORTS).layer(reports.clone()))
        .route_service("/reports.Reports/Publish", publishing.service(reports.clone()))
        .route_service("/reports.Reports/Audit", goat.require(AUDIT).layer(reports))
        .into()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let database = arguments.next().unwrap_or_else(|| "reports.db".into());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".into());

    // Generated keys are lost on restart, and all tokens with them; load stored keys in production.
    let goat = Goat::builder(Stores::sqlite(database).await?, TokenKeys::generate()).build()?;
    // New users get the role `client`. Grant it the permission to read reports, but not to audit.
    match goat.roles().grant(Actor::system("start"), "client", REPORTS).await {
        Err(error) if error.kind() != ErrorKind::PermissionExists => return Err(error.into()),
        _ => {}
    }
    tokio::spawn(goat.clone().maintain()); // removes expired sessions

    // tonic provides the peer in a type of its own. Behind a proxy, add `.trust(..)` with the
    // proxy's addresses.
    let client = ClientAddressLayer::new()
        .peer_from(|extensions| extensions.get::<TcpConnectInfo>()?.remote_addr());
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Server::builder()
        // Around all services; the first layer is the outermost.
        .layer(client)
        .layer(goat.limit(Quota::per_minute(300)).by_address())
        .add_routes(routes(&goat))
        .serve_with_incoming(TcpIncoming::from(listener))
        .await?;
    Ok(())
}
