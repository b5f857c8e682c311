//! One run of a scenario: requests that are sent, and the transcript of what was answered.

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::Duration;

use axum::body::Body;
use goat_core::testing::ManualClock;
use goat_core::token::TokenKeys;
use goat_core::{Secret, Status};
use http::Method;
use serde_json::{Value, json};

use super::names::Names;
use crate::support::app::{CLIENT, PASSWORD, Setup, TestApp, TestResponse};
use crate::support::backend::TestStores;

/// One key for all runs, so that what names it is the same.
static KEY: LazyLock<Secret<String>> = LazyLock::new(TokenKeys::generate_pem);

/// How far apart requests are, so that no two things begin at the same time.
const STEP: Duration = Duration::from_millis(10);

/// How long a notice may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The stores of one node, or of two.
pub(crate) struct NodeStores {
    pub(crate) first: TestStores,
    pub(crate) second: Option<TestStores>,
}

impl From<TestStores> for NodeStores {
    fn from(first: TestStores) -> Self {
        Self { first, second: None }
    }
}

/// A request and its response, as they are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exchange {
    /// Method and path.
    pub(crate) line: String,
    pub(crate) status: u16,
    /// All of it, with names in place of what is random.
    pub(crate) text: String,
}

/// The API, and what was said so far.
pub(crate) struct Play {
    /// A second node, which is asked every other time.
    second: Option<TestApp>,
    pub(crate) app: TestApp,
    names: Names,
    transcript: Vec<Exchange>,
}

/// Somebody who is signed in.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl Person {
    /// Who signed in with this response.
    pub(crate) fn of(response: &TestResponse) -> Self {
        let data = response.data();
        Self {
            id: text(&data["user"]["id"]),
            access: text(&data["access_token"]),
            refresh: text(&data["refresh_token"]),
        }
    }

    /// With the tokens of a refresh.
    pub(crate) fn refreshed(&self, response: &TestResponse) -> Self {
        let data = response.data();
        Self {
            id: self.id.clone(),
            access: text(&data["access_token"]),
            refresh: text(&data["refresh_token"]),
        }
    }
}

/// A text in JSON.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

impl Play {
    pub(crate) async fn on(stores: NodeStores, change: impl Fn(&mut Setup)) -> Self {
        let clock = ManualClock::default();
        let setup = |setup: &mut Setup| {
            setup.keys = TokenKeys::eddsa(std::slice::from_ref(&*KEY)).expect("a key");
            setup.clock = clock.clone();
            change(setup);
        };
        let app = TestApp::over(stores.first, setup).await;
        let second = match stores.second {
            Some(stores) => Some(TestApp::over(stores, setup).await),
            None => None,
        };
        Self { second, app, names: Names::default(), transcript: Vec::new() }
    }

    /// Waits until each node has heard what the other told.
    async fn settle(&self) {
        let Some(second) = &self.second else { return };
        let count = |app: &TestApp| app.goat.sessions().invalidation_stats();
        let settled = async {
            loop {
                let (one, other) = (count(&self.app), count(second));
                if (one.received, other.received) == (other.sent, one.sent) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, settled).await.expect("invalidations arrive");
    }

    pub(crate) fn into_transcript(self) -> Vec<Exchange> {
        self.transcript
    }

    /// Lets time pass.
    pub(crate) fn wait(&self, seconds: u64) {
        self.app.clock.advance(Duration::from_secs(seconds));
    }

    /// A request: a method and a path with a space between.
    pub(crate) fn call(&mut self, line: &str) -> Call<'_> {
        Call {
            play: self,
            line: line.to_owned(),
            from: CLIENT.to_owned(),
            headers: Vec::new(),
            body: None,
        }
    }

    /// Somebody who is there from the beginning, and signs in.
    pub(crate) async fn member(&mut self, name: &str, role: &str) -> Person {
        self.app.clock.advance(STEP);
        let email = format!("{name}@example.org");
        self.app.add(&email, role, Status::Active).await;
        self.login(&email).await
    }

    pub(crate) async fn login(&mut self, email: &str) -> Person {
        let body = json!({"email": email, "password": PASSWORD});
        Person::of(&self.call("POST /api/v1/auth/login").json(body).send().await)
    }

    pub(crate) async fn try_login(&mut self, email: &str, password: &str) -> TestResponse {
        let body = json!({"email": email, "password": password});
        self.call("POST /api/v1/auth/login").json(body).send().await
    }

    pub(crate) async fn refresh(&mut self, token: &str) -> TestResponse {
        let body = json!({"refresh_token": token});
        self.call("POST /api/v1/auth/refresh").json(body).send().await
    }

    /// What somebody is shown.
    pub(crate) async fn get(&mut self, path: &str, person: &Person) -> TestResponse {
        self.call(&format!("GET {path}")).by(person).send().await
    }

    /// What somebody sends.
    pub(crate) async fn send(&mut self, line: &str, person: &Person, body: Value) -> TestResponse {
        self.call(line).by(person).json(body).send().await
    }
}

/// A request that is being put together.
#[must_use = "nothing is sent before send() is called"]
pub(crate) struct Call<'a> {
    play: &'a mut Play,
    line: String,
    from: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
}

impl Call<'_> {
    pub(crate) fn by(self, person: &Person) -> Self {
        let value = format!("Bearer {}", person.access);
        self.header("authorization", &value)
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn from(self, address: &str) -> Self {
        Self { from: address.to_owned(), ..self }
    }

    #[expect(clippy::needless_pass_by_value, reason = "it is written where it is sent")]
    pub(crate) fn json(self, body: Value) -> Self {
        self.text("application/json", &body.to_string())
    }

    pub(crate) fn text(self, content_type: &str, body: &str) -> Self {
        let call = self.header("content-type", content_type);
        Self { body: Some(body.to_owned()), ..call }
    }

    /// Sends it, waits for the complete response, and writes both down.
    pub(crate) async fn send(self) -> TestResponse {
        let Self { play, line, from, headers, body } = self;
        let (method, path) = line.split_once(' ').expect("a method and a path");
        let method: Method = method.parse().expect("a method");
        let mut said = format!("{line} from {from}\n");
        play.settle().await;
        let is_seconds_turn = play.transcript.len() % 2 == 1;
        let node = play.second.as_ref().filter(|_| is_seconds_turn).unwrap_or(&play.app);
        let mut request = node.request(method, path).from(&from);
        for (name, value) in &headers {
            writeln!(said, "{name}: {value}").expect("a text can be written");
            if name != "content-type" {
                request = request.header(name, value);
            }
        }
        if let Some(body) = body {
            writeln!(said, "\n{body}").expect("a text can be written");
            let content_type = headers.iter().find(|(name, _)| name == "content-type");
            let (_, content_type) = content_type.expect("a body has a type");
            request = request.body(content_type, Body::from(body));
        }
        let response = request.send().await;
        writeln!(said, "\n{}", response.status).expect("a text can be written");
        let mut shown: Vec<_> = response.headers.iter().collect();
        // Of one name, in the order in which they were sent.
        shown.sort_by_key(|(name, _)| name.as_str());
        for (name, value) in shown {
            let value = value.to_str().expect("a text");
            writeln!(said, "{name}: {value}").expect("a text can be written");
        }
        let body = std::str::from_utf8(&response.body).expect("nothing but text is answered");
        write!(said, "\n{body}").expect("a text can be written");
        let mut text = play.names.put_into(&said);
        for line in play.names.said_by_tokens() {
            write!(text, "\n{line}").expect("a text can be written");
        }
        let line = play.names.put_into(&line);
        play.transcript.push(Exchange { line, status: response.status, text });
        play.app.clock.advance(STEP);
        response
    }
}
