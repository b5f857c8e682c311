//! A service over `Full<Bytes>` behind goat's layers, served by hyper alone.
//!
//! What it shows to hold outside the workspace: the types of guarded services have names, so a struct
//! can keep one; a function can return one as an `impl Service`; and nothing is boxed.

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

/// Whoever has it may read the reports.
pub const REPORTS: Permission = Permission::new("report:read");

/// The application's own service. It knows nothing of goat but whom to greet.
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

/// The reports behind all of goat's layers, by a name.
pub type GuardedReports = Guarded<
    Guarded<Guarded<Guarded<Reports, RequireLayer>, LimitLayer>, AuthenticateLayer>,
    LimitLayer,
>;

/// An application that keeps its guarded service in a field.
#[derive(Clone, Debug)]
pub struct App {
    reports: GuardedReports,
}

impl App {
    /// Three requests a minute for a user, and ten for an address.
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
    /// Why the listener failed.
    pub async fn serve(self, listener: TcpListener) -> io::Result<()> {
        loop {
            let (stream, peer) = listener.accept().await?;
            // `spawn` wants a future that is `Send`, and so the guarded service's is.
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

/// The reports for whoever is signed in, without a name for the type.
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
