//! Example `tonic`, called by tonic clients.

#[path = "../../src/bin/tonic/api.rs"]
mod api;

use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::program::{Program, TIMEOUT};
use api::accounts_client::AccountsClient;
use api::reports_client::ReportsClient;
use api::{Credentials, Empty, Report, Tokens};

/// Interceptor that adds a token, if any, to each call.
#[derive(Clone)]
struct Bearer(Option<String>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            let value = format!("Bearer {token}").parse().expect("ASCII");
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

type Authorized = InterceptedService<Channel, Bearer>;

fn accounts(channel: &Channel, token: Option<&str>) -> AccountsClient<Authorized> {
    AccountsClient::with_interceptor(channel.clone(), Bearer(token.map(str::to_owned)))
}

fn reports(channel: &Channel, token: Option<&str>) -> ReportsClient<Authorized> {
    ReportsClient::with_interceptor(channel.clone(), Bearer(token.map(str::to_owned)))
}

fn form(email: &str) -> Credentials {
    Credentials { email: email.to_owned(), password: "a long walk on a short pier".to_owned() }
}

fn report(title: &str) -> Report {
    Report { title: title.to_owned() }
}

/// Returns the status code of a call.
fn code<T>(outcome: Result<T, Status>) -> Code {
    outcome.map_or_else(|status| status.code(), |_| Code::Ok)
}

async fn channel(program: &Program) -> Channel {
    let endpoint = Endpoint::from_shared(program.url()).expect("a URL").timeout(TIMEOUT);
    endpoint.connect().await.expect("a connection")
}

/// Signs Ann up and in.
async fn sign_up_and_in(channel: &Channel) -> Tokens {
    let mut anonymous = accounts(channel, None);
    assert_eq!(code(anonymous.sign_up(form("ann@example.org")).await), Code::Ok);
    anonymous.sign_in(form("ann@example.org")).await.expect("signed in").into_inner()
}

#[tokio::test]
async fn calls_are_authenticated_and_authorized() {
    let program = Program::start(env!("CARGO_BIN_EXE_tonic"));
    let channel = channel(&program).await;
    let access = sign_up_and_in(&channel).await.access_token;

    let mut anonymous = accounts(&channel, None);
    let outcome = anonymous.sign_up(form("no address")).await;
    let error = outcome.expect_err("no address");
    assert_eq!(error.code(), Code::InvalidArgument);
    let details = error.get_details_bad_request().expect("the invalid fields");
    assert_eq!(details.field_violations[0].field, "email");
    assert_eq!(code(anonymous.sign_up(form("ann@example.org")).await), Code::FailedPrecondition);
    assert_eq!(code(anonymous.sign_in(form("bob@example.org")).await), Code::Unauthenticated);
    assert_eq!(code(anonymous.sign_out(Empty {}).await), Code::Unauthenticated);

    let error = reports(&channel, None).list(Empty {}).await.expect_err("unauthenticated");
    assert_eq!(error.code(), Code::Unauthenticated);
    assert!(!error.message().is_empty());
    let error = reports(&channel, Some("no token")).list(Empty {}).await;
    assert_eq!(code(error), Code::Unauthenticated);

    let mut ann = reports(&channel, Some(&access));
    let response = ann.list(Empty {}).await.expect("a list");
    assert!(response.metadata().get("ratelimit").is_some(), "counted by address");
    let title = &response.get_ref().reports[0].title;
    assert!(title.starts_with("january, for "), "{title}");
    assert_eq!(code(ann.audit(Empty {}).await), Code::PermissionDenied);
}

#[tokio::test]
async fn a_rate_limited_call_has_retry_after() {
    let program = Program::start(env!("CARGO_BIN_EXE_tonic"));
    let channel = channel(&program).await;
    let mut ann = reports(&channel, Some(&sign_up_and_in(&channel).await.access_token));
    for _ in 0..5 {
        assert_eq!(code(ann.publish(report("february")).await), Code::Ok);
    }
    let error = ann.publish(report("february")).await.expect_err("the sixth in a minute");
    assert_eq!(error.code(), Code::ResourceExhausted);
    let wait = error.metadata().get("retry-after").expect("a time").to_str().expect("ASCII");
    assert!((1..=60).contains(&wait.parse::<u32>().expect("seconds")), "{wait}");
    // The limit applies to one method only.
    assert_eq!(code(ann.list(Empty {}).await), Code::Ok);
}

#[tokio::test]
async fn a_stream_ends_with_its_session() {
    let program = Program::start(env!("CARGO_BIN_EXE_tonic"));
    let channel = channel(&program).await;
    let phone = sign_up_and_in(&channel).await.access_token;
    let laptop = accounts(&channel, None).sign_in(form("ann@example.org")).await;
    let laptop = laptop.expect("signed in twice").into_inner().access_token;
    assert_eq!(code(reports(&channel, None).follow(Empty {}).await), Code::Unauthenticated);

    let stream = reports(&channel, Some(&phone)).follow(Empty {}).await;
    let mut stream = stream.expect("a stream").into_inner();
    let mut publisher = reports(&channel, Some(&laptop));
    assert_eq!(code(publisher.publish(report("march")).await), Code::Ok);
    assert_eq!(stream.message().await.expect("no error"), Some(report("march")));

    assert_eq!(code(accounts(&channel, Some(&phone)).sign_out(Empty {}).await), Code::Ok);
    assert_eq!(code(publisher.publish(report("april")).await), Code::Ok);
    assert_eq!(code(stream.message().await), Code::Unauthenticated);
}
