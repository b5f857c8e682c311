//! Reports over gRPC, on tonic.
//!
//! Sign up, sign in and out; list, publish and follow (stream) reports, with permissions per method:
//!
//! ```text
//! cargo run -p examples --bin tonic
//! alias call='grpcurl -plaintext -proto examples/proto/reports.proto'
//! form='{"email": "ann@example.org", "password": "a long walk on a short pier"}'
//! call -d "$form" localhost:3000 reports.Accounts/SignUp
//! call -d "$form" localhost:3000 reports.Accounts/SignIn
//! call -H "authorization: Bearer <the access token>" localhost:3000 reports.Reports/List
//! ```
//!
//! - `proto/reports.proto`: messages and services. `accounts.rs` and `reports.rs`: the methods, without
//!   any authorization. This file: the layers that authorize.
//! - goat's layers reject gRPC calls with a trailers-only response and `grpc-status` 16
//!   (unauthenticated), 7 (permission denied), 8 (resource exhausted) or 14 (unavailable). This
//!   needs no setting.
//! - gRPC has no cookies: tokens are message fields, and clients send them in the metadata
//!   `authorization`, which is the HTTP header of that name.

mod accounts;
mod api;
mod reports;

use goat_core::token::TokenKeys;
use goat_core::{ErrorKind, Goat, Permission, Quota, RoleSet, Stores};
use goat_tower::{GoatExt as _, Principal, Problem};
use tokio::net::TcpListener;
use tonic::Request;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tower::Layer as _;

use accounts::AccountsService;
use api::accounts_server::AccountsServer;
use api::reports_server::ReportsServer;
use reports::ReportsService;

const REPORTS: Permission = Permission::new("report:read");
const AUDIT: Permission = Permission::new("report:audit");

/// Returns the authenticated principal. Fails closed if a layer is missing.
fn principal<T>(request: &Request<T>) -> Result<Principal, Problem> {
    let unauthenticated = ErrorKind::Unauthenticated;
    Principal::of(request.extensions()).ok_or_else(|| unauthenticated.into())
}

/// Puts the services behind their layers. A method of `Reports` without a requirement, or with a
/// misspelt name, ends the program here.
fn routes(goat: &Goat) -> Result<Routes, Box<dyn std::error::Error>> {
    let accounts = AccountsServer::new(AccountsService::new(goat.clone()));
    let reports = goat.require_by_method(
        ReportsServer::new(ReportsService::new(goat.clone())),
        tonic::include_file_descriptor_set!("reports"),
        [("List", REPORTS), ("Follow", REPORTS), ("Publish", REPORTS), ("Audit", AUDIT)],
    )?;
    // Sign-up and sign-in are calls without a token.
    Ok(Routes::new(goat.authenticate().optional().layer(accounts)).add_service(reports))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let database = arguments.next().unwrap_or_else(|| "reports.db".into());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".into());

    // Generated keys are lost on restart, and all tokens with them; load stored keys in production.
    let goat = Goat::builder(Stores::sqlite(database).await?, TokenKeys::generate())
        .roles(RoleSet::new([("reader", vec!["report:read"]), ("admin", vec!["full_access"])])?)
        .build()?;
    tokio::spawn(goat.clone().maintain()); // removes expired sessions

    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Server::builder()
        // Around all services. Behind a proxy, put a `ClientAddressLayer` that trusts it before this.
        .layer(goat.limit(Quota::per_minute(300)).by_address())
        .add_routes(routes(&goat)?)
        .serve_with_incoming(TcpIncoming::from(listener))
        .await?;
    Ok(())
}
