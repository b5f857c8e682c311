//! Servers that `bench-http` compares with, and the ceiling of password hashing: each in a process of
//! its own, started with its name.
//!
//! A server prints its address and the header of an allowed request, then serves until it is killed.

mod ceiling;
mod fixed;

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use axum::serve::ListenerExt as _;
use benches::application::{REPORTS, WIDE, bare, layered, respond, routed, signed_in};
use benches::peers;
use bytes::Bytes;
use fixed::Fixed;
use goat_core::Goat;
use goat_tower::GoatExt as _;
use goat_tower::address::PeerAddress;
use hyper::Request;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::{HttpService, Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tower::Layer as _;

#[tokio::main]
async fn main() {
    let name = std::env::args().nth(1).unwrap_or_default();
    if name == "argon2" {
        return ceiling::measure();
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("listening {}", listener.local_addr().expect("an address"));
    match name.as_str() {
        "hyper" => {
            announce("");
            serve(listener, |_| service_fn(respond::<Incoming>)).await;
        }
        "fixed" => {
            let fixed = Fixed::read();
            announce("");
            serve(listener, |_| {
                let fixed = fixed.clone();
                service_fn(move |request: Request<Incoming>| fixed.clone().respond(request))
            })
            .await;
        }
        "fixed-axum" => {
            let fixed = Fixed::read();
            announce("");
            serve_axum(listener, routed(get(async move || fixed.response()))).await;
        }
        "goat-hyper" => {
            let (goat, bearer) = signed_in().await;
            announce(&format!("Authorization: {bearer}"));
            goat_on_hyper(listener, &goat).await;
        }
        "axum" => {
            announce("");
            serve_axum(listener, bare()).await;
        }
        "goat-axum" => {
            let (goat, bearer) = signed_in().await;
            announce(&format!("Authorization: {bearer}"));
            serve_axum(listener, layered(&goat)).await;
        }
        "axum-login" => {
            let (login, cookie) = peers::signed_in().await;
            announce(&format!("Cookie: {cookie}"));
            serve_axum(listener, peers::logged_in(login)).await;
        }
        "tower_governor" => {
            announce("");
            serve_axum(listener, peers::limited(bare(), true)).await;
        }
        "axum-login and tower_governor" => {
            let (login, cookie) = peers::signed_in().await;
            announce(&format!("Cookie: {cookie}"));
            serve_axum(listener, peers::limited(peers::logged_in(login), true)).await;
        }
        other => panic!("no server of this name: {other}"),
    }
}

fn announce(header: &str) {
    println!("header {header}");
}

/// The layers as on the front page, without a framework.
async fn goat_on_hyper(listener: TcpListener, goat: &Goat) {
    let (by_address, by_user) = (goat.limit(WIDE).by_address(), goat.limit(WIDE).by_user());
    let route = tower::service_fn(respond::<Incoming>);
    let route = goat.authenticate().layer(by_user.layer(goat.require(REPORTS).layer(route)));
    let layered = by_address.layer(route);
    serve(listener, |peer| {
        let service = TowerToHyperService::new(layered.clone());
        service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(PeerAddress(peer));
            service.call(request)
        })
    })
    .await;
}

/// Serves HTTP/1.1, each connection with its own service.
async fn serve<S>(listener: TcpListener, service: impl Fn(SocketAddr) -> S)
where
    S: HttpService<Incoming, Error = Infallible> + Send + 'static,
    S::Future: Send,
    S::ResBody: Body<Data = Bytes> + Send + 'static,
    <S::ResBody as Body>::Error: std::error::Error + Send + Sync,
{
    loop {
        let (stream, peer) = listener.accept().await.expect("a connection");
        let service = service(peer);
        tokio::spawn(async move {
            no_delay(&stream);
            // The client closes connections at the end of each run.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn serve_axum(listener: TcpListener, router: Router) {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let listener = listener.tap_io(|stream| no_delay(stream));
    axum::serve(listener, service).await.expect("it serves");
}

fn no_delay(stream: &TcpStream) {
    stream.set_nodelay(true).expect("a socket");
}
