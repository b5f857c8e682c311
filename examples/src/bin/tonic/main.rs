//! Reports over gRPC, on tonic: sign up, sign in and out; list, publish and follow reports with the
//! permission. Run it with `cargo run -p examples --bin tonic`, then, with the `.proto` of `api.rs` in
//! a file:
//!
//! ```text
//! alias call='grpcurl -plaintext -proto reports.proto'
//! form='{"email": "ann@example.org", "password": "a long walk on a short pier"}'
//! call -d "$form" localhost:3000 reports.Accounts/SignUp
//! call -d "$form" localhost:3000 reports.Accounts/SignIn
//! call -H "authorization: Bearer <the access token>" localhost:3000 reports.Reports/List
//! ```
//!
//! - `api.rs`: messages and services. `accounts.rs` and `desk.rs`: what the methods do, without a
//!   line of who may call them. This file: the layers that say it.
//! - A denial of goat's layers is what a gRPC caller understands: a trailers-only answer with
//!   `grpc-status` 16 (who are you), 7 (you may not), 8 (too many) or 14 (cannot tell now). It needs
//!   no setting.
//! - gRPC knows no cookies and no `Set-Cookie`: tokens are fields of messages, and go back in the
//!   metadata `authorization`, which is the header of that name.

mod accounts;
mod api;
mod desk;

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

use accounts::AccountsDesk;
use api::accounts_server::AccountsServer;
use api::reports_server::ReportsServer;
use desk::ReportsDesk;

const REPORTS: Permission = Permission::new("report:read");
const AUDIT: Permission = Permission::new("report:audit");

/// An error of goat, or of one's own, as a gRPC caller gets it: its code, and the sentence that was
/// written for clients. Of what lies behind it nothing is said.
fn refusal(problem: impl Into<Problem>) -> Status {
    let problem = problem.into();
    let mut metadata = MetadataMap::new();
    if let Some(seconds) = problem.retry_after_seconds() {
        metadata.insert("retry-after", seconds.into());
    }
    Status::with_metadata(Code::from(problem.grpc_status()), problem.detail(), metadata)
}

/// Who calls. The layers let nobody else through; if one is taken away, nobody is let in for it.
fn caller<T>(request: &Request<T>) -> Result<Principal, Status> {
    let nobody = || refusal(Error::from(ErrorKind::Unauthenticated));
    Principal::of(request.extensions()).ok_or_else(nobody)
}

/// Which method asks for what.
///
/// A whole service stands behind layers by `named_layer`, which keeps its name for tonic. Where its
/// methods ask for different things, each is a route of its own: a service of tonic answers whatever
/// path it is asked for, so it can stand at many. A method without a route is not served at all
/// (`UNIMPLEMENTED`), so none is open by oversight.
fn routes(goat: &Goat) -> Routes {
    let accounts = AccountsServer::new(AccountsDesk::new(goat.clone()));
    let reports = ReportsServer::new(ReportsDesk::new(goat.clone()));
    // The first layer here is the first that a call meets.
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

    // Keys of one's own, kept somewhere safe, let tokens survive a restart. These do not.
    let goat = Goat::builder(Stores::sqlite(database).await?, TokenKeys::generate()).build()?;
    // Whoever signs up is a client, and clients read reports. Nobody audits yet.
    match goat.roles().grant(Actor::system("start"), "client", REPORTS).await {
        Err(error) if error.kind() != ErrorKind::PermissionExists => return Err(error.into()),
        _ => {}
    }

    // tonic says who is at the other end of a connection with a type of its own. Behind a proxy that
    // is the proxy: there, add .trust(..) and say whose word is to be taken.
    let client = ClientAddressLayer::new()
        .peer_from(|extensions| extensions.get::<TcpConnectInfo>()?.remote_addr());
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Server::builder()
        // Around everything, the first layer here outermost.
        .layer(client)
        .layer(goat.limit(Quota::per_minute(300)).by_address())
        .add_routes(routes(&goat))
        .serve_with_incoming(TcpIncoming::from(listener))
        .await?;
    Ok(())
}
