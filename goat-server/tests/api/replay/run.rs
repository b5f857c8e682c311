//! One run of a scenario: it sends the requests and records the transcript.

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::Duration;

use axum::body::Body;
use goat_core::challenge::ServerKeys;
use goat_core::factor::FactorKind;
use goat_core::testing::{Letters, ManualClock};
use goat_core::token::TokenKeys;
use goat_core::{Secret, Status, UserId};
use http::Method;
use serde_json::{Value, json};

use super::names::Names;
use crate::support::app::{CLIENT, PASSWORD, Setup, TestApp, TestResponse};
use crate::support::backend::TestStores;
use crate::support::mail::by_link;

/// One key for all runs, so that key ids are equal.
static KEY: LazyLock<Secret<String>> = LazyLock::new(TokenKeys::generate_pem);

/// The time between requests, so that no two records have equal times.
const STEP: Duration = Duration::from_millis(10);

/// How long an invalidation may take.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);

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

/// A request and its response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exchange {
    /// Method and path.
    pub(crate) line: String,
    pub(crate) status: u16,
    /// The complete exchange, with names for random values.
    pub(crate) text: String,
}

/// The API and the transcript so far.
pub(crate) struct Run {
    /// A second node, which receives every other request.
    second: Option<TestApp>,
    pub(crate) app: TestApp,
    names: Names,
    transcript: Vec<Exchange>,
}

/// A signed-in user.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl User {
    /// The user of a login response.
    pub(crate) fn of(response: &TestResponse) -> Self {
        let data = response.data();
        Self {
            id: text(&data["user"]["id"]),
            access: text(&data["access_token"]),
            refresh: text(&data["refresh_token"]),
        }
    }

    /// The user with the tokens of a refresh.
    pub(crate) fn refreshed(&self, response: &TestResponse) -> Self {
        let data = response.data();
        Self {
            id: self.id.clone(),
            access: text(&data["access_token"]),
            refresh: text(&data["refresh_token"]),
        }
    }
}

/// A JSON string.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

impl Run {
    pub(crate) async fn on(stores: NodeStores, change: impl Fn(&mut Setup)) -> Self {
        let (clock, letters, server_keys) =
            (ManualClock::default(), Letters::default(), ServerKeys::generate());
        let setup = |setup: &mut Setup| {
            setup.keys = TokenKeys::eddsa(std::slice::from_ref(&*KEY)).expect("a key");
            setup.clock = clock.clone();
            setup.letters = letters.clone();
            setup.server_keys = server_keys.clone();
            change(setup);
        };
        let app = TestApp::over(stores.first, setup).await;
        let second = match stores.second {
            Some(stores) => Some(TestApp::over(stores, setup).await),
            None => None,
        };
        Self { second, app, names: Names::default(), transcript: Vec::new() }
    }

    /// Waits until each node has received the invalidations of the other.
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
        tokio::time::timeout(DELIVERY_TIMEOUT, settled).await.expect("invalidations arrive");
    }

    pub(crate) fn into_transcript(self) -> Vec<Exchange> {
        self.transcript
    }

    /// Advances the clock.
    pub(crate) fn wait(&self, seconds: u64) {
        self.app.clock.advance(Duration::from_secs(seconds));
    }

    /// Enrols a second factor of a user, on every node.
    pub(crate) fn enrol(&self, user: &User, kind: FactorKind) {
        let user = UserId::parse(&user.id).expect("an id");
        for app in [Some(&self.app), self.second.as_ref()].into_iter().flatten() {
            app.factors.enrol(user, kind, app.goat.time().now());
        }
    }

    /// Waits for a letter of this name to an address, and returns the token of its link.
    pub(crate) async fn link(&self, to: &str, name: &str) -> String {
        text(&by_link(&self.app.letter(to, name).await)["token"])
    }

    /// Starts a request such as `GET /api/v1/user`.
    pub(crate) fn call(&mut self, line: &str) -> Call<'_> {
        Call {
            run: self,
            line: line.to_owned(),
            from: CLIENT.to_owned(),
            headers: Vec::new(),
            body: None,
        }
    }

    /// Creates and signs in a user.
    pub(crate) async fn member(&mut self, name: &str, role: &str) -> User {
        self.app.clock.advance(STEP);
        let email = format!("{name}@example.org");
        self.app.add(&email, role, Status::Active).await;
        self.login(&email).await
    }

    pub(crate) async fn login(&mut self, email: &str) -> User {
        let body = json!({"email": email, "password": PASSWORD});
        User::of(&self.call("POST /api/v1/auth/login").json(body).send().await)
    }

    pub(crate) async fn try_login(&mut self, email: &str, password: &str) -> TestResponse {
        let body = json!({"email": email, "password": password});
        self.call("POST /api/v1/auth/login").json(body).send().await
    }

    pub(crate) async fn refresh(&mut self, token: &str) -> TestResponse {
        let body = json!({"refresh_token": token});
        self.call("POST /api/v1/auth/refresh").json(body).send().await
    }

    /// Sends a GET as a user.
    pub(crate) async fn get(&mut self, path: &str, user: &User) -> TestResponse {
        self.call(&format!("GET {path}")).by(user).send().await
    }

    /// Sends a JSON body as a user.
    pub(crate) async fn send(&mut self, line: &str, user: &User, body: Value) -> TestResponse {
        self.call(line).by(user).json(body).send().await
    }
}

/// A request builder.
#[must_use = "nothing is sent before send() is called"]
pub(crate) struct Call<'a> {
    run: &'a mut Run,
    line: String,
    from: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
}

impl Call<'_> {
    pub(crate) fn by(self, user: &User) -> Self {
        let value = format!("Bearer {}", user.access);
        self.header("authorization", &value)
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn from(self, address: &str) -> Self {
        Self { from: address.to_owned(), ..self }
    }

    #[expect(clippy::needless_pass_by_value, reason = "callers pass a literal")]
    pub(crate) fn json(self, body: Value) -> Self {
        self.text("application/json", &body.to_string())
    }

    pub(crate) fn text(self, content_type: &str, body: &str) -> Self {
        let call = self.header("content-type", content_type);
        Self { body: Some(body.to_owned()), ..call }
    }

    /// Sends the request, reads the complete response, and records both.
    pub(crate) async fn send(self) -> TestResponse {
        let Self { run, line, from, headers, body } = self;
        let (method, path) = line.split_once(' ').expect("a method and a path");
        let method: Method = method.parse().expect("a method");
        let mut exchange = format!("{line} from {from}\n");
        run.settle().await;
        let is_for_second = run.transcript.len() % 2 == 1;
        let node = run.second.as_ref().filter(|_| is_for_second).unwrap_or(&run.app);
        let mut request = node.request(method, path).from(&from);
        for (name, value) in &headers {
            writeln!(exchange, "{name}: {value}").expect("writing to a string");
            if name != "content-type" {
                request = request.header(name, value);
            }
        }
        if let Some(body) = body {
            writeln!(exchange, "\n{body}").expect("writing to a string");
            let content_type = headers.iter().find(|(name, _)| name == "content-type");
            let (_, content_type) = content_type.expect("a body has a type");
            request = request.body(content_type, Body::from(body));
        }
        let response = request.send().await;
        writeln!(exchange, "\n{}", response.status).expect("writing to a string");
        let mut shown: Vec<_> = response.headers.iter().collect();
        // The sort is stable: repeated headers keep their order.
        shown.sort_by_key(|(name, _)| name.as_str());
        for (name, value) in shown {
            let value = value.to_str().expect("a text");
            writeln!(exchange, "{name}: {value}").expect("writing to a string");
        }
        let body = std::str::from_utf8(&response.body).expect("UTF-8");
        write!(exchange, "\n{body}").expect("writing to a string");
        let mut text = run.names.replace_in(&exchange);
        for line in run.names.take_new_tokens() {
            write!(text, "\n{line}").expect("writing to a string");
        }
        let line = run.names.replace_in(&line);
        run.transcript.push(Exchange { line, status: response.status, text });
        run.app.clock.advance(STEP);
        response
    }
}
