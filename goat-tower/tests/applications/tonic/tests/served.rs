//! The application, called by a tonic client over a local connection.

use std::time::Duration;

use application_tonic::{REPORTS, serve};
use goat_core::testing::{Failpoints, Point, TestGoat, TestUser};
use goat_core::{Error, ErrorKind, Stores};
use goat_tower::goat_core;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

const WHO_AM_I: &str = "/example.Account/WhoAmI";
const LIST: &str = "/example.Reports/List";
const READ: &str = "/example.Reports/Read";

/// A client with a user's token, or without a token.
struct Client {
    grpc: Grpc<Channel>,
    bearer: Option<String>,
}

/// Starts the server, and connects to it.
async fn start(test: &TestGoat) -> Channel {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(serve(test.goat.clone(), listener));
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("a URL");
    endpoint.connect().await.expect("a connection")
}

fn client(channel: &Channel, user: Option<&TestUser>) -> Client {
    Client { grpc: Grpc::new(channel.clone()), bearer: user.map(TestUser::bearer) }
}

impl Client {
    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(bearer) = &self.bearer {
            let value = bearer.parse().expect("ASCII");
            request.metadata_mut().insert("authorization", value);
        }
        request
    }

    async fn current_user(&mut self) -> Result<Response<String>, Status> {
        self.grpc.ready().await.expect("a channel");
        let request = self.request(String::new());
        let codec = ProstCodec::<String, String>::default();
        self.grpc.unary(request, PathAndQuery::from_static(WHO_AM_I), codec).await
    }

    async fn list(&mut self) -> Result<Streaming<String>, Status> {
        self.grpc.ready().await.expect("a channel");
        let request = self.request(String::new());
        let codec = ProstCodec::<String, String>::default();
        let response = self.grpc.server_streaming(request, PathAndQuery::from_static(LIST), codec);
        response.await.map(Response::into_inner)
    }

    async fn read(&mut self, names: mpsc::Receiver<String>) -> Result<Streaming<String>, Status> {
        self.grpc.ready().await.expect("a channel");
        let request = self.request(ReceiverStream::new(names));
        let codec = ProstCodec::<String, String>::default();
        let response = self.grpc.streaming(request, PathAndQuery::from_static(READ), codec);
        response.await.map(Response::into_inner)
    }
}

/// Returns the message that goat sends for an error, in any protocol.
fn sentence(kind: ErrorKind) -> String {
    Error::from(kind).client_message().to_owned()
}

#[tokio::test]
async fn an_authenticated_call_has_a_principal_and_a_client_address() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", []).await;
    let response =
        client(&start(&test).await, Some(&alice)).current_user().await.expect("a response");
    assert_eq!(response.get_ref(), &format!("{} at 127.0.0.1", alice.user.id));
    let remaining = response.metadata().get("ratelimit").expect("the remaining quota");
    assert_eq!(remaining, r#""address";r=9;t=60, "user";r=2;t=60"#);
}

#[tokio::test]
async fn an_anonymous_call_is_unauthenticated() {
    let channel = start(&TestGoat::new()).await;
    let status = client(&channel, None).current_user().await.expect_err("no token");
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(status.message(), sentence(ErrorKind::Unauthenticated));

    let mut forger = client(&channel, None);
    forger.bearer = Some("Bearer not.a.token".into());
    let status = forger.current_user().await.expect_err("no such token");
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_forbidden_call_is_denied_only_by_the_protected_service() {
    let test = TestGoat::new();
    let bob = test.sign_in("bob", []).await;
    let channel = start(&test).await;
    let mut bob = client(&channel, Some(&bob));
    let status = bob.list().await.expect_err("no permission");
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(status.message(), sentence(ErrorKind::Forbidden));
    assert!(bob.current_user().await.is_ok());
}

#[tokio::test]
async fn a_user_is_limited_until_the_window_has_passed() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", [REPORTS]).await;
    let channel = start(&test).await;
    let mut alice = client(&channel, Some(&alice));
    for _ in 0..3 {
        alice.current_user().await.expect("a response");
    }
    let status = alice.list().await.expect_err("one too many");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.message(), sentence(ErrorKind::RateLimited));
    assert_eq!(status.metadata().get("retry-after").expect("how long"), "60");

    test.clock.advance(Duration::from_secs(60));
    alice.current_user().await.expect("a response");
}

#[tokio::test]
async fn a_flood_is_limited_by_address() {
    let test = TestGoat::new();
    let channel = start(&test).await;
    let mut anonymous = client(&channel, None);
    for _ in 0..10 {
        let status = anonymous.current_user().await.expect_err("no token");
        assert_eq!(status.code(), Code::Unauthenticated);
    }
    let status = anonymous.current_user().await.expect_err("one too many");
    assert_eq!(status.code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn an_unavailable_store_is_the_unavailable_status() {
    let (stores, failpoints) = Failpoints::over(Stores::memory());
    let test = TestGoat::build(stores, |builder| builder);
    let alice = test.sign_in("alice", []).await;
    let channel = start(&test).await;
    let mut alice = client(&channel, Some(&alice));
    // Longer than the cache's staleness.
    test.clock.advance(Duration::from_secs(60));
    failpoints.fail("sessions.find", Point::Entry);
    let status = alice.current_user().await.expect_err("unavailable");
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), sentence(ErrorKind::Unavailable));
    assert!(status.metadata().contains_key("retry-after"));

    alice.current_user().await.expect("a response");
}

#[tokio::test]
async fn a_stream_is_complete_and_a_denied_one_does_not_begin() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", [REPORTS]).await;
    let channel = start(&test).await;
    let mut reports = client(&channel, Some(&alice)).list().await.expect("a stream");
    for name in ["january", "february", "march"] {
        assert_eq!(reports.message().await.expect("no error").as_deref(), Some(name));
    }
    assert_eq!(reports.message().await.expect("status 0 in the trailers"), None);

    let status = client(&channel, None).list().await.expect_err("no token");
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn bidirectional_streams_stay_open() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", [REPORTS]).await;
    let channel = start(&test).await;
    let (ask, names) = mpsc::channel(1);
    let mut reports = client(&channel, Some(&alice)).read(names).await.expect("a stream");
    for name in ["april", "may"] {
        ask.send(name.to_owned()).await.expect("an open call");
        // The response arrives before the next name is sent.
        let report = reports.message().await.expect("no error");
        assert_eq!(report, Some(format!("the report of {name}")));
    }
    drop(ask);
    assert_eq!(reports.message().await.expect("status 0 in the trailers"), None);

    // A rejected call does not wait for the rest of the client's stream.
    let (_still_open, names) = mpsc::channel(1);
    let status = client(&channel, None).read(names).await.expect_err("no token");
    assert_eq!(status.code(), Code::Unauthenticated);
}
