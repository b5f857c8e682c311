//! The example over gRPC, called by clients of tonic.

#[path = "../../src/bin/tonic/api.rs"]
mod api;

use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::program::{PATIENCE, Program};
use api::accounts_client::AccountsClient;
use api::reports_client::ReportsClient;
use api::{Credentials, Nothing, Report, Tokens};

/// Puts a token into every call, or none.
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

/// What came of a call, without what was answered.
fn code<T>(outcome: Result<T, Status>) -> Code {
    outcome.map_or_else(|status| status.code(), |_| Code::Ok)
}

async fn channel(program: &Program) -> Channel {
    let endpoint = Endpoint::from_shared(program.url()).expect("a URL").timeout(PATIENCE);
    endpoint.connect().await.expect("it listens")
}

/// Signs ann up and in.
async fn enter(channel: &Channel) -> Tokens {
    let mut strangers = accounts(channel, None);
    assert_eq!(code(strangers.sign_up(form("ann@example.org")).await), Code::Ok);
    strangers.sign_in(form("ann@example.org")).await.expect("signed in").into_inner()
}

#[tokio::test]
async fn who_calls_is_told_by_status_who_they_must_be() {
    let program = Program::start(env!("CARGO_BIN_EXE_tonic"));
    let channel = channel(&program).await;
    let access = enter(&channel).await.access_token;

    let mut strangers = accounts(&channel, None);
    let outcome = strangers.sign_up(form("no address")).await;
    assert_eq!(code(outcome), Code::InvalidArgument);
    assert_eq!(code(strangers.sign_up(form("ann@example.org")).await), Code::FailedPrecondition);
    assert_eq!(code(strangers.sign_in(form("bob@example.org")).await), Code::Unauthenticated);
    assert_eq!(code(strangers.sign_out(Nothing {}).await), Code::Unauthenticated);

    let refused = reports(&channel, None).list(Nothing {}).await.expect_err("a stranger");
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert!(!refused.message().is_empty());
    let refused = reports(&channel, Some("no token")).list(Nothing {}).await;
    assert_eq!(code(refused), Code::Unauthenticated);

    let mut ann = reports(&channel, Some(&access));
    let answer = ann.list(Nothing {}).await.expect("a list");
    assert!(answer.metadata().get("ratelimit").is_some(), "counted by address");
    let title = &answer.get_ref().reports[0].title;
    assert!(title.starts_with("january, for "), "{title}");
    assert_eq!(code(ann.audit(Nothing {}).await), Code::PermissionDenied);
}

#[tokio::test]
async fn who_publishes_too_often_is_told_how_long_to_wait() {
    let program = Program::start(env!("CARGO_BIN_EXE_tonic"));
    let channel = channel(&program).await;
    let mut ann = reports(&channel, Some(&enter(&channel).await.access_token));
    for _ in 0..5 {
        assert_eq!(code(ann.publish(report("february")).await), Code::Ok);
    }
    let refused = ann.publish(report("february")).await.expect_err("the sixth in a minute");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let wait = refused.metadata().get("retry-after").expect("a time").to_str().expect("ASCII");
    assert!((1..=60).contains(&wait.parse::<u32>().expect("seconds")), "{wait}");
    // That limit is of one method.
    assert_eq!(code(ann.list(Nothing {}).await), Code::Ok);
}

#[tokio::test]
async fn a_stream_goes_on_until_the_session_ends() {
    let program = Program::start(env!("CARGO_BIN_EXE_tonic"));
    let channel = channel(&program).await;
    let phone = enter(&channel).await.access_token;
    let desk = accounts(&channel, None).sign_in(form("ann@example.org")).await;
    let desk = desk.expect("signed in twice").into_inner().access_token;
    assert_eq!(code(reports(&channel, None).follow(Nothing {}).await), Code::Unauthenticated);

    let followed = reports(&channel, Some(&phone)).follow(Nothing {}).await;
    let mut followed = followed.expect("a stream").into_inner();
    let mut publisher = reports(&channel, Some(&desk));
    assert_eq!(code(publisher.publish(report("march")).await), Code::Ok);
    assert_eq!(followed.message().await.expect("no error"), Some(report("march")));

    assert_eq!(code(accounts(&channel, Some(&phone)).sign_out(Nothing {}).await), Code::Ok);
    assert_eq!(code(publisher.publish(report("april")).await), Code::Ok);
    assert_eq!(code(followed.message().await), Code::Unauthenticated);
}
