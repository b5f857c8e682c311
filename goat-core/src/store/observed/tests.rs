#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use super::*;
use crate::error::ErrorKind;
use crate::event::Event;
use crate::proof::{Method, Methods};
use crate::service::{Login, SignUp};
use crate::session::{Origin, RefreshToken, TokenReplacement};
use crate::testing::sample::stored_key;
use crate::testing::{ManualClock, PlainHasher, limits};
use crate::token::TokenKeys;
use crate::user::UserFilter;
use crate::{Email, Goat, Secret, TokenId};

const TIMEOUT: Duration = Duration::from_secs(2);

/// All ports, without a successful call.
#[derive(Clone, Copy, Debug)]
enum Broken {
    /// Never replies.
    Silent,
    /// Fails immediately.
    Failing,
}

impl Broken {
    async fn answer<T>(self) -> Result<T, StoreError> {
        match self {
            Self::Silent => std::future::pending().await,
            Self::Failing => Err(StoreError::unavailable("a driver's own name")),
        }
    }

    fn stores(self) -> Stores {
        let store = Arc::new(self);
        Stores {
            users: Arc::clone(&store) as _,
            roles: Arc::clone(&store) as _,
            sessions: Arc::clone(&store) as _,
            challenges: Arc::clone(&store) as _,
            factors: Arc::clone(&store) as _,
            keys: Arc::clone(&store) as _,
            limits: Arc::clone(&store) as _,
            invalidations: Arc::clone(&store) as _,
            shared_cache: Some(store),
        }
    }
}

#[async_trait]
impl UserStore for Broken {
    async fn by_email(&self, _: &str) -> Result<Option<Account>, StoreError> {
        self.answer().await
    }

    async fn by_id(&self, _: UserId) -> Result<Option<Account>, StoreError> {
        self.answer().await
    }

    async fn state(&self, _: UserId) -> Result<Option<UserState>, StoreError> {
        self.answer().await
    }

    async fn invalidate(&self, _: UserId) -> Result<(), StoreError> {
        self.answer().await
    }

    async fn list(&self, _: &UserQuery) -> Result<UserPage, StoreError> {
        self.answer().await
    }

    async fn write(&self, _: UserWrite<'_>) -> Result<UserWriteOutcome, StoreError> {
        self.answer().await
    }

    async fn signed_in(
        &self,
        _: UserId,
        _: Timestamp,
        _: Option<Rehashed<'_>>,
    ) -> Result<Option<UserState>, StoreError> {
        self.answer().await
    }

    async fn has_active_user_in(&self, _: &Role) -> Result<bool, StoreError> {
        self.answer().await
    }

    async fn sample_hashes(&self, _: u32) -> Result<Vec<String>, StoreError> {
        self.answer().await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.answer().await
    }
}

#[async_trait]
impl RoleStore for Broken {
    async fn load(&self) -> Result<RoleRows, StoreError> {
        self.answer().await
    }

    async fn write(&self, _: RoleWrite<'_>) -> Result<RoleWriteOutcome, StoreError> {
        self.answer().await
    }
}

#[async_trait]
impl ChallengeStore for Broken {
    async fn put(&self, _: &Challenge, _: &Subject, _: u32) -> Result<(), StoreError> {
        self.answer().await
    }

    async fn find(
        &self,
        _: ChallengeId,
        _: Purpose,
        _: Timestamp,
    ) -> Result<Option<Challenge>, StoreError> {
        self.answer().await
    }

    async fn is_pending(&self, _: Purpose, _: &Subject, _: Timestamp) -> Result<bool, StoreError> {
        self.answer().await
    }

    async fn attempt(&self, _: ChallengeId, _: Purpose, _: Timestamp) -> Result<bool, StoreError> {
        self.answer().await
    }

    async fn take(&self, _: ChallengeId) -> Result<bool, StoreError> {
        self.answer().await
    }

    async fn remove_all(
        &self,
        _: UserId,
        _: Option<(Purpose, Timestamp)>,
    ) -> Result<u64, StoreError> {
        self.answer().await
    }

    async fn purge(&self, _: Timestamp, _: u32) -> Result<u64, StoreError> {
        self.answer().await
    }
}

#[async_trait]
impl FactorStore for Broken {
    async fn of(&self, _: UserId) -> Result<Factors, StoreError> {
        self.answer().await
    }
}

#[async_trait]
impl SessionStore for Broken {
    async fn create(&self, _: &Session, _: u32) -> Result<Vec<SessionId>, StoreError> {
        self.answer().await
    }

    async fn find(&self, _: UserId, _: SessionId) -> Result<Option<SessionView>, StoreError> {
        self.answer().await
    }

    async fn rotate(&self, _: &Rotation) -> Result<Rotated, StoreError> {
        self.answer().await
    }

    async fn replace_tokens(
        &self,
        _: UserId,
        _: &TokenReplacement,
        _: Timestamp,
    ) -> Result<bool, StoreError> {
        self.answer().await
    }

    async fn list(
        &self,
        _: UserId,
        _: SessionEpoch,
        _: Timestamp,
        _: PageRequest,
    ) -> Result<Page<Session>, StoreError> {
        self.answer().await
    }

    async fn revoke(
        &self,
        _: UserId,
        _: SessionEpoch,
        _: Timestamp,
        _: &[SessionId],
    ) -> Result<Revoked, StoreError> {
        self.answer().await
    }

    async fn revoke_all(
        &self,
        _: UserId,
        _: SessionEpoch,
        _: Timestamp,
        _: Option<SessionId>,
    ) -> Result<u64, StoreError> {
        self.answer().await
    }

    async fn end(&self, _: UserId, _: SessionId) -> Result<bool, StoreError> {
        self.answer().await
    }

    async fn purge(&self, _: Timestamp, _: u32) -> Result<u64, StoreError> {
        self.answer().await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.answer().await
    }
}

#[async_trait]
impl KeyStore for Broken {
    async fn create(&self, _: &StoredKey, _: u32) -> Result<Created, StoreError> {
        self.answer().await
    }

    async fn find(&self, _: KeyId) -> Result<Option<KeyView>, StoreError> {
        self.answer().await
    }

    async fn list(&self, _: UserId, _: PageRequest) -> Result<Page<Key>, StoreError> {
        self.answer().await
    }

    async fn revoke(&self, _: UserId, _: KeyId) -> Result<bool, StoreError> {
        self.answer().await
    }

    async fn revoke_all(&self, _: Option<UserId>) -> Result<u64, StoreError> {
        self.answer().await
    }

    async fn used(&self, _: &[(KeyId, Timestamp)]) -> Result<(), StoreError> {
        self.answer().await
    }
}

impl LimitStore for Broken {
    fn acquire(&self, _: LimitKey, _: Quota, _: Duration) -> StoreAcquire {
        StoreAcquire::Pending(Box::pin(self.answer()))
    }

    fn acquire_both(
        &self,
        _: [(LimitKey, Quota); 2],
        _: Duration,
    ) -> StoreReply<[StoreDecision; 2]> {
        StoreReply::Pending(Box::pin(self.answer()))
    }

    fn reset(&self, _: LimitKey, _: Quota) -> StoreReply<()> {
        StoreReply::Pending(Box::pin(self.answer()))
    }
}

#[async_trait]
impl Invalidations for Broken {
    async fn publish(&self, _: Invalidation) -> Result<(), StoreError> {
        self.answer().await
    }

    fn subscribe(&self, _: Weak<dyn Listener>) {}
}

#[async_trait]
impl SharedCache for Broken {
    fn name(&self, _: CacheKey) -> String {
        String::new()
    }

    async fn get(&self, _: CacheKey) -> Result<Lookup, StoreError> {
        self.answer().await
    }

    async fn put(&self, _: CacheKey, _: &CacheEntry, _: Duration) -> Result<bool, StoreError> {
        self.answer().await
    }

    async fn invalidate_below(&self, _: CacheKey, _: u64, _: Duration) -> Result<(), StoreError> {
        self.answer().await
    }
}

/// Tokio's clock, which these tests pause.
#[derive(Debug)]
struct Paused(tokio::time::Instant);

impl Paused {
    fn start() -> Arc<Self> {
        Arc::new(Self(tokio::time::Instant::now()))
    }
}

impl Clock for Paused {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_767_225_600) + self.elapsed()
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// The reported calls.
#[derive(Debug, Default)]
struct Reports(Mutex<Vec<(&'static str, Duration, bool)>>);

impl Reports {
    fn take(&self) -> Vec<(&'static str, Duration, bool)> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Observer for Reports {
    fn observe(&self, _: &Event) {}

    fn store_called(&self, operation: &'static str, took: Duration, failed: bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((operation, took, failed));
    }
}

fn observed(stores: Stores) -> (Stores, Arc<Reports>) {
    let reports = Arc::new(Reports::default());
    (stores.observed(TIMEOUT, Arc::clone(&reports) as _, Paused::start()), reports)
}

type Call<'a> = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'a>>;

fn call<'a, T>(future: impl Future<Output = Result<T, StoreError>> + Send + 'a) -> Call<'a> {
    Box::pin(async move { future.await.map(drop) })
}

/// Calls every asynchronous method of every port, with the operation name that it is reported under.
async fn each_method(stores: &Stores, mut check: impl AsyncFnMut(&'static str, Call<'_>)) {
    let now = Timestamp::from_seconds(1_767_225_600);
    let (user, id, epoch) =
        (UserId::generate(now), SessionId::generate(now), SessionEpoch::default());
    let role = Role::parse("admin").unwrap();
    let token = RefreshToken {
        id: TokenId::generate(now),
        issued_at: now,
        expires_at: now,
        key: String::new(),
    };
    let session = Session {
        id,
        user,
        epoch: 0,
        device: String::new(),
        address: None,
        created_at: now,
        last_used_at: now,
        idle_at: now,
        ends_at: now,
        current: token.clone(),
        previous: None,
        methods: Methods::of(Method::Password),
        authenticated_at: now,
        multi_at: None,
        actor: None,
    };
    let rotation = Rotation {
        session: id,
        user,
        presented: token.id,
        epoch: 0,
        successor: token.clone(),
        address: None,
        now,
        leeway: Duration::ZERO,
    };
    let replacement = TokenReplacement { session: id, epoch: 1, token };
    let query = UserQuery { filter: UserFilter::default(), hidden_roles: Vec::new(), except: None };
    let page = PageRequest::default();

    let users = &stores.users;
    check("users.by_email", call(users.by_email("ann@example.org"))).await;
    check("users.by_id", call(users.by_id(user))).await;
    check("users.state", call(users.state(user))).await;
    check("users.cached_state", call(users.cached_state(user))).await;
    check("users.invalidate", call(users.invalidate(user))).await;
    check("users.list", call(users.list(&query))).await;
    let write = UserWrite {
        actor: None,
        key: None,
        target: user,
        top_role: &role,
        assigns: None,
        decide: &|_| Err(ErrorKind::Internal),
    };
    check("users.write", call(users.write(write))).await;
    check("users.signed_in", call(users.signed_in(user, now, None))).await;
    check("users.has_active_user_in", call(users.has_active_user_in(&role))).await;
    check("users.sample_hashes", call(users.sample_hashes(1))).await;
    check("users.ping", call(users.ping())).await;

    check("roles.load", call(stores.roles.load())).await;
    check("roles.cached", call(stores.roles.cached())).await;
    let write =
        RoleWrite { actor: None, key: None, deletes: None, decide: &|_| Err(ErrorKind::Internal) };
    check("roles.write", call(stores.roles.write(write))).await;

    let sessions = &stores.sessions;
    check("sessions.create", call(sessions.create(&session, 1))).await;
    check("sessions.find", call(sessions.find(user, id))).await;
    check("sessions.rotate", call(sessions.rotate(&rotation))).await;
    let replaced = sessions.replace_tokens(user, &replacement, now);
    check("sessions.replace_tokens", call(replaced)).await;
    check("sessions.list", call(sessions.list(user, epoch, now, page))).await;
    check("sessions.revoke", call(sessions.revoke(user, epoch, now, &[id]))).await;
    check("sessions.revoke_all", call(sessions.revoke_all(user, epoch, now, None))).await;
    check("sessions.end", call(sessions.end(user, id))).await;
    check("sessions.purge", call(sessions.purge(now, 1))).await;
    check("sessions.ping", call(sessions.ping())).await;

    let (challenges, purpose) = (&stores.challenges, Purpose::PendingSignIn);
    let (id, subject) = (ChallengeId::generate(now), Subject::user(user));
    let challenge = Challenge {
        id,
        purpose,
        user: Some(user),
        epoch: 0,
        link: None,
        code: None,
        attempts_left: 1,
        made_at: now,
        expires_at: now,
        payload: Secret::new(Vec::new()),
    };
    check("challenges.put", call(challenges.put(&challenge, &subject, 1))).await;
    check("challenges.find", call(challenges.find(id, purpose, now))).await;
    check("challenges.is_pending", call(challenges.is_pending(purpose, &subject, now))).await;
    check("challenges.attempt", call(challenges.attempt(id, purpose, now))).await;
    check("challenges.take", call(challenges.take(id))).await;
    check("challenges.remove_all", call(challenges.remove_all(user, None))).await;
    check("challenges.purge", call(challenges.purge(now, 1))).await;

    check("factors.of", call(stores.factors.of(user))).await;

    let (keys, stored) = (&stores.keys, stored_key(user));
    let key = stored.key.id;
    check("keys.create", call(keys.create(&stored, 1))).await;
    check("keys.find", call(keys.find(key))).await;
    check("keys.list", call(keys.list(user, page))).await;
    check("keys.revoke", call(keys.revoke(user, key))).await;
    check("keys.revoke_all", call(keys.revoke_all(Some(user)))).await;
    check("keys.used", call(keys.used(&[(key, now)]))).await;

    let key = LimitKey::text("login", "ann");
    let spending = stores.limits.acquire(key, Quota::per_minute(5), Duration::ZERO);
    if let StoreAcquire::Pending(pending) = spending {
        check("limits.acquire", call(pending)).await;
    }
    let counters = [(key, Quota::per_minute(5)), (key, Quota::per_day(5))];
    if let StoreReply::Pending(pending) = stores.limits.acquire_both(counters, Duration::ZERO) {
        check("limits.acquire", call(pending)).await;
    }
    if let StoreReply::Pending(pending) = stores.limits.reset(key, Quota::per_minute(5)) {
        check("limits.reset", call(pending)).await;
    }
    check(
        "invalidations.publish",
        call(stores.invalidations.publish(Invalidation::Roles { revision: 1 })),
    )
    .await;

    let Some(cache) = &stores.shared_cache else { return };
    let (key, entry) = (CacheKey::Roles, CacheEntry::default());
    check("shared_cache.get", call(cache.get(key))).await;
    check("shared_cache.put", call(cache.put(key, &entry, TIMEOUT))).await;
    check("shared_cache.invalidate_below", call(cache.invalidate_below(key, 1, TIMEOUT))).await;
}

/// O1
#[tokio::test(start_paused = true)]
async fn every_call_without_a_reply_is_unavailable_at_the_timeout() {
    let (stores, reports) = observed(Broken::Silent.stores());
    let mut calls = 0;
    each_method(&stores, async |operation, call| {
        let error = call.await.unwrap_err();
        assert!(error.is_unavailable(), "{operation}");
        assert_eq!(error.operation(), operation);
        assert_eq!(reports.take(), [(operation, TIMEOUT, true)]);
        calls += 1;
    })
    .await;
    assert_eq!(calls, 45);
}

/// O1
#[tokio::test(start_paused = true)]
async fn failure_of_a_store_is_returned_unchanged_and_reported() {
    let (stores, reports) = observed(Broken::Failing.stores());
    each_method(&stores, async |operation, call| {
        let error = call.await.unwrap_err();
        assert_eq!(error.operation(), "a driver's own name");
        assert_eq!(reports.take(), [(operation, Duration::ZERO, true)]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn success_is_reported_and_a_synchronous_limit_is_not() {
    let (stores, reports) = observed(Stores::memory());
    stores.users.ping().await.unwrap();
    assert_eq!(reports.take(), [("users.ping", Duration::ZERO, false)]);

    let key = LimitKey::text("login", "ann");
    let spending = stores.limits.acquire(key, Quota::per_minute(5), Duration::ZERO);
    assert!(matches!(spending, StoreAcquire::Ready(_)));
    assert_eq!(reports.take(), []);
    assert_eq!(stores.limits.load().unwrap().keys, 1);
}

#[tokio::test(start_paused = true)]
async fn cancelled_call_is_not_reported() {
    let (stores, reports) = observed(Broken::Silent.stores());
    let gone = tokio::time::timeout(TIMEOUT / 2, stores.users.ping()).await;
    assert!(gone.is_err());
    tokio::time::sleep(TIMEOUT).await;
    assert_eq!(reports.take(), []);
}

fn goat(stores: Stores, keys: TokenKeys) -> Goat {
    Goat::builder(stores, keys)
        .hasher(Arc::new(PlainHasher::default()))
        .clock(Paused::start())
        .build()
        .unwrap()
}

fn login() -> Login {
    Login {
        email: "ann@example.org".into(),
        password: "a long walk on a short pier".into(),
        device_token: None,
        origin: Origin::default(),
    }
}

fn sign_up() -> SignUp {
    SignUp {
        email: Email::parse("ann@example.org").unwrap(),
        password: Some("a long walk on a short pier".into()),
        origin: Origin::default(),
    }
}

/// O1, O2: with every store silent or failing, each flow returns unavailable in bounded time, and
/// tokens from before are neither accepted nor called invalid.
#[tokio::test(start_paused = true)]
async fn outage_is_unavailable_in_every_flow_in_bounded_time() {
    let keys = TokenKeys::generate();
    let before = goat(Stores::memory(), keys.clone());
    before.sign_up(sign_up()).await.unwrap();
    let tokens = before.login(login()).await.unwrap().value.tokens;
    let access = tokens.access_token.expose();
    let principal = before.authenticate_token(access).await.unwrap();

    for broken in [Broken::Silent, Broken::Failing] {
        let (stores, _) = observed(broken.stores());
        let goat = goat(stores, keys.clone());
        let origin = Origin::default();
        let begun = tokio::time::Instant::now();
        let failures = [
            goat.ping().await.unwrap_err(),
            goat.prepare().await.unwrap_err(),
            goat.sign_up(sign_up()).await.unwrap_err(),
            goat.login(login()).await.unwrap_err(),
            goat.authenticate_token(access).await.unwrap_err(),
            goat.reauthenticate(&principal).await.unwrap_err(),
            goat.refresh(&tokens.refresh_token, &origin).await.unwrap_err(),
            goat.logout(&principal, &origin).await.unwrap_err(),
        ];
        for failure in &failures {
            assert_eq!(failure.kind(), ErrorKind::Unavailable, "{failure:?}");
        }
        assert!(begun.elapsed() <= TIMEOUT * 2 * failures.len() as u32);
    }
}

#[tokio::test]
async fn observed_limits_conform() {
    let clock = ManualClock::default();
    for store in [
        Arc::new(crate::store::memory::MemoryLimits::default()) as Arc<dyn LimitStore>,
        Arc::new(limits::DeferredLimits::new(crate::store::memory::MemoryLimits::default())),
    ] {
        let stores = Stores { limits: store, ..Stores::memory() };
        let (stores, _) = observed(stores);
        limits::conformance(&*stores.limits, &clock).await;
    }
}
