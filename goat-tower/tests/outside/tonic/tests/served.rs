//! The guarded services as a tonic client sees them, over a connection to 127.0.0.1.

use std::time::Duration;

use goat_core::testing::{Failpoints, Point, TestGoat, TestUser};
use goat_core::{Error, ErrorKind, Stores};
use goat_tower::goat_core;
use outside_tonic::{REPORTS, serve};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

const WHO_AM_I: &str = "/outside.Account/WhoAmI";
const LIST: &str = "/outside.Reports/List";
const READ: &str = "/outside.Reports/Read";

/// A client with somebody's token, or nobody's.
struct Client {
    grpc: Grpc<Channel>,
    bearer: Option<String>,
}

/// Serves a goat, and gives what connects to it.
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

    async fn who_am_i(&mut self) -> Result<Response<String>, Status> {
        self.grpc.ready().await.expect("a channel");
        let request = self.request(String::new());
        let codec = ProstCodec::<String, String>::default();
        self.grpc.unary(request, PathAndQuery::from_static(WHO_AM_I), codec).await
    }

    async fn list(&mut self) -> Result<Streaming<String>, Status> {
        self.grpc.ready().await.expect("a channel");
        let request = self.request(String::new());
        let codec = ProstCodec::<String, String>::default();
        let answer = self.grpc.server_streaming(request, PathAndQuery::from_static(LIST), codec);
        answer.await.map(Response::into_inner)
    }

    async fn read(&mut self, names: mpsc::Receiver<String>) -> Result<Streaming<String>, Status> {
        self.grpc.ready().await.expect("a channel");
        let request = self.request(ReceiverStream::new(names));
        let codec = ProstCodec::<String, String>::default();
        let answer = self.grpc.streaming(request, PathAndQuery::from_static(READ), codec);
        answer.await.map(Response::into_inner)
    }
}

/// What goat tells a client of such an error, in any protocol.
fn sentence(kind: ErrorKind) -> String {
    Error::from(kind).client_message().to_owned()
}

#[tokio::test]
async fn whoever_is_signed_in_is_known_and_so_is_where_they_call_from() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", []).await;
    let answer = client(&start(&test).await, Some(&alice)).who_am_i().await.expect("an answer");
    assert_eq!(answer.get_ref(), &format!("{} at 127.0.0.1", alice.user.id));
    let left = answer.metadata().get("ratelimit").expect("what is left");
    assert_eq!(left, r#""address";r=9;t=60, "user";r=2;t=60"#);
}

#[tokio::test]
async fn a_stranger_is_unauthenticated() {
    let channel = start(&TestGoat::new()).await;
    let status = client(&channel, None).who_am_i().await.expect_err("no token");
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(status.message(), sentence(ErrorKind::Unauthenticated));

    let mut forger = client(&channel, None);
    forger.bearer = Some("Bearer not.a.token".into());
    let status = forger.who_am_i().await.expect_err("no such token");
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn whoever_may_not_is_denied_the_service_that_asks_for_it_and_no_other() {
    let test = TestGoat::new();
    let bob = test.sign_in("bob", []).await;
    let channel = start(&test).await;
    let mut bob = client(&channel, Some(&bob));
    let status = bob.list().await.expect_err("no permission");
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(status.message(), sentence(ErrorKind::Forbidden));
    assert!(bob.who_am_i().await.is_ok());
}

#[tokio::test]
async fn too_many_calls_of_a_user_are_put_off_until_the_window_has_passed() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", [REPORTS]).await;
    let channel = start(&test).await;
    let mut alice = client(&channel, Some(&alice));
    for _ in 0..3 {
        alice.who_am_i().await.expect("an answer");
    }
    let status = alice.list().await.expect_err("one too many");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.message(), sentence(ErrorKind::RateLimited));
    assert_eq!(status.metadata().get("retry-after").expect("how long"), "60");

    test.clock.advance(Duration::from_secs(60));
    alice.who_am_i().await.expect("an answer");
}

#[tokio::test]
async fn a_flood_is_stopped_by_its_address() {
    let test = TestGoat::new();
    let channel = start(&test).await;
    let mut stranger = client(&channel, None);
    for _ in 0..10 {
        let status = stranger.who_am_i().await.expect_err("no token");
        assert_eq!(status.code(), Code::Unauthenticated);
    }
    let status = stranger.who_am_i().await.expect_err("one too many");
    assert_eq!(status.code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn a_store_that_is_down_is_unavailable() {
    let (stores, pauses) = Failpoints::over(Stores::memory());
    let test = TestGoat::build(stores, |builder| builder);
    let alice = test.sign_in("alice", []).await;
    let channel = start(&test).await;
    let mut alice = client(&channel, Some(&alice));
    // So long that nobody trusts what is remembered of the session.
    test.clock.advance(Duration::from_secs(60));
    pauses.fail("sessions.find", Point::Entry);
    let status = alice.who_am_i().await.expect_err("nobody can tell");
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), sentence(ErrorKind::Unavailable));
    assert!(status.metadata().contains_key("retry-after"));

    alice.who_am_i().await.expect("an answer");
}

#[tokio::test]
async fn a_stream_comes_whole_and_a_refused_one_does_not_begin() {
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
async fn both_ways_of_a_call_stay_open_at_once() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", [REPORTS]).await;
    let channel = start(&test).await;
    let (ask, names) = mpsc::channel(1);
    let mut reports = client(&channel, Some(&alice)).read(names).await.expect("a stream");
    for name in ["april", "may"] {
        ask.send(name.to_owned()).await.expect("an open call");
        // It is answered although the next one is not sent yet.
        let report = reports.message().await.expect("no error");
        assert_eq!(report, Some(format!("the report of {name}")));
    }
    drop(ask);
    assert_eq!(reports.message().await.expect("status 0 in the trailers"), None);

    // Nobody waits for what a refused caller might still send.
    let (_still_open, names) = mpsc::channel(1);
    let status = client(&channel, None).read(names).await.expect_err("no token");
    assert_eq!(status.code(), Code::Unauthenticated);
}
