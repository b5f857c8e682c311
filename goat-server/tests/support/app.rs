//! The API in process: its router over a storage backend, a hasher that does not hash, and a manual
//! clock.
//!
//! ```text
//! let app = TestApp::new().await;
//! let admin = app.admin().await;
//! let response = app.get("/api/v1/user").bearer(&admin.token).send().await;
//! assert_eq!(response.status, 200);
//! assert_eq!(response.data()["email"], admin.email);
//! ```

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use goat_core::auth::Login;
use goat_core::challenge::ServerKeys;
use goat_core::key::{NewKey, Scopes};
use goat_core::password::{BreachedPasswords, PasswordHasher};
use goat_core::session::Origin;
use goat_core::testing::{Letters, ManualClock, PlainHasher, TestFactors};
use goat_core::token::TokenKeys;
use goat_core::user::NewUser;
use goat_core::{Actor, Clock as _, Email, Goat, Quota, SessionId, Signup, Status, Stores, UserId};
use goat_server::Api;
use goat_server::observe::ServerObserver;
use goat_server::observe::metrics::Metrics;
use goat_server::serve::Lifecycle;
use goat_server::start::settings::{Flags, HttpSettings, LimitSettings, Settings};
use goat_tower::address::PeerAddress;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use super::backend::{Backend, TestStores};

/// The default password of test users.
pub(crate) const PASSWORD: &str = "a long walk on a short pier";

/// The default address of the client.
pub(crate) const CLIENT: &str = "192.0.2.7";

/// The timeout of store calls, on the runtime's clock.
pub(crate) const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// The API of one node.
pub(crate) struct TestApp {
    pub(crate) goat: Goat,
    pub(crate) clock: ManualClock,
    /// The hasher, unless [`Setup::hasher`] replaced it.
    pub(crate) hasher: PlainHasher,
    pub(crate) factors: TestFactors,
    /// The letters that were sent, with [`Setup::mail`].
    pub(crate) letters: Letters,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) api: Api,
    pub(crate) limits: LimitSettings,
    router: Router,
    users: AtomicUsize,
    /// Dropped last: the node uses them.
    pub(crate) stores: TestStores,
}

/// The configuration of a [`TestApp`].
pub(crate) struct Setup {
    pub(crate) goat: goat_core::Settings,
    pub(crate) stores: Stores,
    /// The second factors, which the stores have; other stores need them too.
    pub(crate) factors: TestFactors,
    pub(crate) keys: TokenKeys,
    /// May be shared with another node.
    pub(crate) clock: ManualClock,
    /// Replaces the [`PlainHasher`].
    pub(crate) hasher: Option<Arc<dyn PasswordHasher>>,
    /// The list of breached passwords.
    pub(crate) breached: Option<Arc<dyn BreachedPasswords>>,
    pub(crate) http: HttpSettings,
    /// Too large to be reached by accident; [`Setup::shipped_limits`] restores the defaults.
    pub(crate) limits: LimitSettings,
    /// Whether the server sends mail: to `letters`.
    pub(crate) mail: bool,
    /// May be shared with another node, as the keys of typed codes.
    pub(crate) letters: Letters,
    pub(crate) server_keys: ServerKeys,
    /// Whether the server reports that it is ready.
    pub(crate) ready: bool,
}

impl Setup {
    /// Restores the default rate limits.
    pub(crate) fn shipped_limits(&mut self) {
        self.limits = shipped().limits;
        let shipped = goat_core::Settings::default();
        self.goat.account_quota = shipped.account_quota;
        self.goat.account_day_quota = shipped.account_day_quota;
        self.goat.password_check_quota = shipped.password_check_quota;
        self.goat.change_email_quota = shipped.change_email_quota;
        self.goat.mail_quota = shipped.mail_quota;
    }

    /// Switches every feature on, so that every route of the table exists.
    pub(crate) fn every_route(&mut self) {
        self.mail = true;
        self.goat.signup = Signup::Confirmed;
        self.goat.email_sign_in = true;
    }
}

/// The default settings.
fn shipped() -> Settings {
    Settings::load([], &Flags::default(), Path::new("there-is-no.env")).unwrap().0
}

impl TestApp {
    /// Builds the API in memory with the default settings, except for the rate limits.
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// Like [`TestApp::new`], with changes.
    pub(crate) async fn with(change: impl FnOnce(&mut Setup)) -> Self {
        Self::on_with(Backend::Memory, change).await
    }

    /// Like [`TestApp::new`], with mail, and every route of the table.
    pub(crate) async fn with_every_route() -> Self {
        Self::with(Setup::every_route).await
    }

    /// Like [`TestApp::new`], on a backend.
    pub(crate) async fn on(backend: Backend) -> Self {
        Self::on_with(backend, |_| {}).await
    }

    /// Like [`TestApp::new`], on a backend and with changes.
    pub(crate) async fn on_with(backend: Backend, change: impl FnOnce(&mut Setup)) -> Self {
        Self::over(backend.open().await, change).await
    }

    /// Like [`TestApp::new`], over stores and with changes.
    pub(crate) async fn over(test_stores: TestStores, change: impl FnOnce(&mut Setup)) -> Self {
        let Settings { http, mut limits, .. } = shipped();
        let plenty = Some(Quota::per_minute(1_000_000));
        for limit in [
            &mut limits.auth,
            &mut limits.refresh,
            &mut limits.public,
            &mut limits.address,
            &mut limits.user,
            &mut limits.verify,
            &mut limits.session_control,
        ] {
            *limit = plenty;
        }
        let factors = TestFactors::default();
        let mut setup = Setup {
            goat: goat_core::Settings {
                account_quota: plenty,
                account_day_quota: plenty,
                password_check_quota: plenty,
                change_email_quota: plenty,
                mail_quota: plenty,
                ..goat_core::Settings::default()
            },
            stores: Stores { factors: Arc::new(factors.clone()), ..test_stores.stores.clone() },
            factors,
            keys: TokenKeys::generate(),
            clock: ManualClock::default(),
            hasher: None,
            breached: None,
            http,
            limits,
            mail: false,
            letters: Letters::default(),
            server_keys: ServerKeys::generate(),
            ready: true,
        };
        change(&mut setup);
        let Setup { goat, stores, factors, keys, clock, hasher, breached, http, limits, .. } =
            setup;
        let Setup { mail, letters, server_keys, ready, .. } = setup;
        let plain = PlainHasher::default();
        let metrics = Metrics::new();
        let observer = ServerObserver::new(Arc::clone(&metrics));
        // The shared cache is for the users of the backend, not for a store that the test brought.
        let is_own = Arc::ptr_eq(&stores.users, &test_stores.stores.users);
        let shared_cache = test_stores.shared_cache.clone().filter(|_| is_own);
        let stores = Stores { shared_cache, ..stores };
        let stores =
            stores.observed(STORE_TIMEOUT, Arc::clone(&observer) as _, Arc::new(clock.clone()));
        let mut builder = Goat::builder(stores, keys);
        if let Some(list) = breached {
            builder = builder.breached_passwords(list);
        }
        if mail {
            builder = builder.courier(Arc::new(letters.clone())).server_keys(server_keys);
        }
        let goat = builder
            .settings(goat)
            .stored_roles()
            .hasher(hasher.unwrap_or_else(|| Arc::new(plain.clone())))
            .clock(Arc::new(clock.clone()))
            .observer(observer)
            .test_factors(&factors)
            .build()
            .unwrap();
        // A node that is not connected to the invalidation channel does not use its caches.
        let connected = async {
            while !goat.sessions().invalidations_connected() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), connected).await.expect("connected");
        let lifecycle = Lifecycle::new();
        if ready {
            lifecycle.ready();
        }
        let api = Api::new(goat.clone())
            .metrics(metrics)
            .lifecycle(lifecycle.clone())
            .http(http)
            .limits(limits.clone());
        // As the server: also for paths outside of the API.
        let router = Router::new().fallback_service(api.clone().into_service::<Body>());
        let users = AtomicUsize::new(0);
        let hasher = plain;
        Self {
            goat,
            clock,
            hasher,
            factors,
            letters,
            lifecycle,
            api,
            limits,
            router,
            users,
            stores: test_stores,
        }
    }

    /// Sends the requests to an application from now on.
    pub(crate) fn within(mut self, application: Router) -> Self {
        self.router = application;
        self
    }

    /// Creates and signs in an active administrator.
    pub(crate) async fn admin(&self) -> TestUser {
        self.user("admin").await
    }

    /// Creates and signs in an active operator.
    pub(crate) async fn operator(&self) -> TestUser {
        self.user("operator").await
    }

    /// Creates and signs in an active client.
    pub(crate) async fn client(&self) -> TestUser {
        self.user("client").await
    }

    /// Creates and signs in an active user with a role.
    pub(crate) async fn user(&self, role: &str) -> TestUser {
        let number = self.users.fetch_add(1, Ordering::SeqCst);
        let email = format!("{role}-{number}@example.org");
        let id = self.add(&email, role, Status::Active).await;
        self.sign_in(&email, PASSWORD).await.with_id(id)
    }

    /// Creates a user.
    pub(crate) async fn add(&self, email: &str, role: &str, status: Status) -> UserId {
        let new = NewUser {
            email: Email::parse(email).unwrap(),
            password: Some(PASSWORD.into()),
            role: self.goat.roles().get(role).unwrap(),
            status,
        };
        self.goat.users().create(Actor::system("a test"), new).await.unwrap().id
    }

    /// Stores that a user's address is verified now, past goat.
    pub(crate) async fn verify_email(&self, id: UserId) {
        let now = self.clock.now();
        self.edit(id, |account| account.user.email_verified_at = Some(now)).await;
    }

    /// Signs in, past the API and its rate limits.
    pub(crate) async fn sign_in(&self, email: &str, password: &str) -> TestUser {
        let login = Login {
            email: email.into(),
            password: password.into(),
            device_token: None,
            origin: Origin {
                address: CLIENT.parse().ok(),
                device: Some("a test".to_owned()),
                ..Origin::default()
            },
        };
        let signed_in = self.goat.login(login).await.unwrap().value;
        TestUser {
            id: signed_in.user.id,
            email: email.to_owned(),
            token: signed_in.tokens.access_token.expose().clone(),
            refresh_token: signed_in.tokens.refresh_token.expose().clone(),
            session: signed_in.session,
        }
    }

    /// Creates an API key of a signed-in user, past the API, and returns its text.
    pub(crate) async fn key(&self, user: &TestUser, scopes: Scopes) -> String {
        let me = self.goat.authenticate_token(&user.token).await.unwrap();
        let recent = self.goat.require_recent(&me).await.unwrap();
        let new = NewKey { name: "a program".to_owned(), scopes, expires_in: None };
        let created = self.goat.keys().create(recent, new).await.unwrap();
        created.secret.expose().clone()
    }

    pub(crate) fn get(&self, path: &str) -> TestRequest<'_> {
        self.request(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str) -> TestRequest<'_> {
        self.request(Method::POST, path)
    }

    pub(crate) fn put(&self, path: &str) -> TestRequest<'_> {
        self.request(Method::PUT, path)
    }

    pub(crate) fn patch(&self, path: &str) -> TestRequest<'_> {
        self.request(Method::PATCH, path)
    }

    pub(crate) fn delete(&self, path: &str) -> TestRequest<'_> {
        self.request(Method::DELETE, path)
    }

    /// Starts a request; the path is sent as it is.
    pub(crate) fn request(&self, method: Method, path: &str) -> TestRequest<'_> {
        TestRequest {
            app: self,
            method,
            path: path.to_owned(),
            from: CLIENT.parse().unwrap(),
            headers: HeaderMap::new(),
            body: Body::empty(),
        }
    }
}

/// A signed-in user.
#[derive(Clone, Debug)]
pub(crate) struct TestUser {
    pub(crate) id: UserId,
    pub(crate) email: String,
    pub(crate) token: String,
    pub(crate) refresh_token: String,
    pub(crate) session: SessionId,
}

impl TestUser {
    fn with_id(self, id: UserId) -> Self {
        assert_eq!(self.id, id);
        self
    }

    /// The path of this user.
    pub(crate) fn path(&self) -> String {
        format!("/api/v1/user/{}", self.id)
    }
}

/// A request builder.
#[must_use = "nothing is sent before send() is called"]
pub(crate) struct TestRequest<'a> {
    app: &'a TestApp,
    method: Method,
    path: String,
    from: IpAddr,
    headers: HeaderMap,
    body: Body,
}

impl TestRequest<'_> {
    /// Adds an access token.
    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header(AUTHORIZATION.as_str(), &format!("Bearer {token}"))
    }

    /// Adds a header; an earlier one of the same name stays.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        let name: http::HeaderName = name.parse().unwrap();
        self.headers.append(name, HeaderValue::from_str(value).unwrap());
        self
    }

    /// Sets a JSON body.
    pub(crate) fn json(self, value: &Value) -> Self {
        self.body("application/json", value.to_string())
    }

    /// Sets a body with its content type.
    pub(crate) fn body(mut self, content_type: &str, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self.header(CONTENT_TYPE.as_str(), content_type)
    }

    /// Replaces [`CLIENT`] as the peer's address.
    pub(crate) fn from(mut self, address: &str) -> Self {
        self.from = address.parse().unwrap();
        self
    }

    /// Sends the request and reads the complete response.
    pub(crate) async fn send(self) -> TestResponse {
        let mut request = Request::builder().method(self.method).uri(self.path);
        *request.headers_mut().unwrap() = self.headers;
        let peer = PeerAddress(SocketAddr::new(self.from, 4711));
        let request = request.extension(peer).body(self.body).unwrap();
        TestResponse::read(self.app.router.clone().oneshot(request).await.unwrap()).await
    }
}

/// A response.
#[derive(Clone, Debug)]
pub(crate) struct TestResponse {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The body as JSON; `null` if it is not JSON.
    pub(crate) json: Value,
}

impl TestResponse {
    async fn read(response: Response) -> Self {
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let json = serde_json::from_slice(&body).unwrap_or_default();
        Self { status: head.status.as_u16(), headers: head.headers, body, json }
    }

    /// The value of a header, or the empty string.
    ///
    /// # Panics
    /// If the header occurs twice.
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().map_or("", |value| value.to_str().unwrap());
        assert!(values.next().is_none(), "{name} occurs twice: {:?}", self.headers);
        value
    }

    /// The `data` of a success.
    ///
    /// # Panics
    /// If the response is not a success.
    pub(crate) fn data(&self) -> &Value {
        assert!((200..300).contains(&self.status), "{} {}", self.status, self.json);
        &self.json["data"]
    }

    /// The code of a problem document; the empty string for a success.
    pub(crate) fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }

    /// The status and the code.
    pub(crate) fn failure(&self) -> (u16, &str) {
        (self.status, self.code())
    }

    /// The fields of a `validation` problem, in order.
    pub(crate) fn fields(&self) -> Vec<&str> {
        let errors = self.json["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        errors.iter().map(|error| error["field"].as_str().unwrap()).collect()
    }
}
