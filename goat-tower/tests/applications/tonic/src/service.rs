//! Two services, written like tonic's generated code, over plain strings.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use goat_tower::Principal;
use goat_tower::address::ClientAddress;
use tokio_stream::{Iter, StreamExt as _};
use tonic::body::Body;
use tonic::codegen::http::{Request as HttpRequest, Response as HttpResponse};
use tonic::codegen::{BoxFuture, BoxStream, Service};
use tonic::server::{Grpc, NamedService, ServerStreamingService, StreamingService, UnaryService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

type Codec = ProstCodec<String, String>;
type Call = BoxFuture<HttpResponse<Body>, Infallible>;

/// `example.Account`: returns the caller's identity.
#[derive(Clone, Copy, Debug)]
pub struct Account;

/// `example.Reports`: reports in a bidirectional stream, or all in a server stream.
#[derive(Clone, Copy, Debug)]
pub struct Reports;

impl NamedService for Account {
    const NAME: &'static str = "example.Account";
}

impl NamedService for Reports {
    const NAME: &'static str = "example.Reports";
}

fn unknown() -> HttpResponse<Body> {
    Status::unimplemented("no such method").into_http()
}

impl Service<HttpRequest<Body>> for Account {
    type Response = HttpResponse<Body>;
    type Error = Infallible;
    type Future = Call;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest<Body>) -> Call {
        Box::pin(async move {
            let mut grpc = Grpc::new(Codec::default());
            Ok(match request.uri().path() {
                "/example.Account/WhoAmI" => grpc.unary(WhoAmI, request).await,
                _ => unknown(),
            })
        })
    }
}

impl Service<HttpRequest<Body>> for Reports {
    type Response = HttpResponse<Body>;
    type Error = Infallible;
    type Future = Call;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest<Body>) -> Call {
        Box::pin(async move {
            let mut grpc = Grpc::new(Codec::default());
            Ok(match request.uri().path() {
                "/example.Reports/List" => grpc.server_streaming(List, request).await,
                "/example.Reports/Read" => grpc.streaming(Read, request).await,
                _ => unknown(),
            })
        })
    }
}

struct WhoAmI;

impl UnaryService<String> for WhoAmI {
    type Response = String;
    type Future = Ready<Result<Response<String>, Status>>;

    fn call(&mut self, request: Request<String>) -> Self::Future {
        let me = Principal::of(request.extensions());
        let client = ClientAddress::of(request.extensions());
        ready(match (me, client) {
            (Some(me), Some(client)) => Ok(Response::new(format!("{} at {client}", me.user()))),
            _ => Err(Status::internal("a layer is missing")),
        })
    }
}

struct List;

impl ServerStreamingService<String> for List {
    type Response = String;
    type ResponseStream = Iter<std::vec::IntoIter<Result<String, Status>>>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, _: Request<String>) -> Self::Future {
        let reports = ["january", "february", "march"].map(|name| Ok(name.to_owned()));
        ready(Ok(Response::new(tokio_stream::iter(Vec::from(reports)))))
    }
}

struct Read;

impl StreamingService<String> for Read {
    type Response = String;
    type ResponseStream = BoxStream<String>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    /// Responds to each name before the next one arrives.
    fn call(&mut self, request: Request<Streaming<String>>) -> Self::Future {
        let names = request.into_inner();
        let reports = names.map(|name| Ok(format!("the report of {}", name?)));
        ready(Ok(Response::new(Box::pin(reports) as Pin<Box<_>>)))
    }
}
