//! An application as a user would write it: a service over `Full<Bytes>` behind goat's layers, on
//! plain hyper.
//!
//! It shows that the types of layered services can be named and stored in a struct, that a function
//! can return one as `impl Service`, and that nothing is boxed.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::net::SocketAddr;

use goat_tower::address::PeerAddress;
use goat_tower::goat_core::{Goat, Permission, Quota};
use goat_tower::{
    AuthenticateLayer, GoatExt as _, Guarded, LimitLayer, Principal, RequireLayer, ResponseBody,
};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tower_layer::Layer;
use tower_service::Service;

/// The permission to read reports.
pub const REPORTS: Permission = Permission::new("report:read");

/// The application's service; from goat it only reads the principal.
#[derive(Clone, Copy, Debug)]
pub struct Reports;

impl<B> Service<Request<B>> for Reports {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let reader = Principal::of(request.extensions()).map(|me| me.user().to_string());
        ready(Ok(Response::new(Full::from(reader.unwrap_or_default()))))
    }
}

/// The named type of the service with all layers.
pub type GuardedReports = Guarded<
    Guarded<Guarded<Guarded<Reports, RequireLayer>, LimitLayer>, AuthenticateLayer>,
    LimitLayer,
>;

/// The application, which stores its layered service in a field.
#[derive(Clone, Debug)]
pub struct App {
    reports: GuardedReports,
}

impl App {
    /// Limits: three requests a minute per user, ten per address.
    #[must_use]
    pub fn new(goat: &Goat) -> Self {
        let permitted = goat.require(REPORTS).layer(Reports);
        let limited = goat.limit(Quota::per_minute(3)).by_user().layer(permitted);
        let signed_in = goat.authenticate().layer(limited);
        Self { reports: goat.limit(Quota::per_minute(10)).by_address().layer(signed_in) }
    }

    /// Serves HTTP/1.1 until the listener fails.
    ///
    /// # Errors
    ///
    /// If the listener fails.
    pub async fn serve(self, listener: TcpListener) -> io::Result<()> {
        loop {
            let (stream, peer) = listener.accept().await?;
            // `spawn` needs a `Send` future, which the layered service's is.
            tokio::spawn(self.clone().connection(stream, peer));
        }
    }

    async fn connection(self, stream: TcpStream, peer: SocketAddr) -> hyper::Result<()> {
        let reports = TowerToHyperService::new(self.reports);
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(PeerAddress(peer));
            reports.call(request)
        });
        http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
    }
}

/// The layered service without naming its type.
pub fn signed_in<B: Send + 'static>(
    goat: &Goat,
) -> impl Service<
    Request<B>,
    Response = Response<ResponseBody<Full<Bytes>>>,
    Error = Infallible,
    Future: Send,
> + Clone
+ Send
+ Sync
+ 'static {
    goat.authenticate().layer(Reports)
}
