//! Fixtures of the Redis tests.

use std::sync::Arc;
use std::time::Duration;

use goat_core::auth::{Method, Methods};
use goat_core::limit::{LimitKey, LimitStore, StoreAcquire, StoreDecision};
use goat_core::session::{RefreshToken, Session};
use goat_core::store::redis::{RedisDatabase, RedisOptions};
use goat_core::store::{Rotated, Rotation, SessionStore};
use goat_core::{Clock, Quota, SessionId, StoreError, SystemClock, Timestamp, TokenId, UserId};
use goat_engines::Redis;

/// Timeout of calls in tests with faults; a sound call takes less even on a busy machine.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(1);
/// How long recovery from a fault may take.
const RECOVERY: Duration = Duration::from_secs(60);

pub(crate) fn open(options: &RedisOptions) -> RedisDatabase {
    RedisDatabase::open(options).expect("a URL")
}

/// The shared server, with a key prefix of its own.
pub(crate) fn shared() -> RedisOptions {
    RedisOptions::new(Redis::shared().url()).prefix(Redis::prefix())
}

/// A handle with a short timeout.
pub(crate) fn with_short_timeout(url: &str) -> RedisDatabase {
    open(&RedisOptions::new(url).prefix(Redis::prefix()).timeout(TIMEOUT))
}

pub(crate) fn now() -> Timestamp {
    SystemClock::start().now()
}

pub(crate) fn key(name: &str) -> LimitKey {
    LimitKey::text("test", name)
}

/// A token with a TTL of one hour.
pub(crate) fn token() -> RefreshToken {
    let issued_at = now().floor_to_second();
    RefreshToken {
        id: TokenId::generate(issued_at),
        issued_at,
        expires_at: issued_at + Duration::from_secs(3600),
        key: "key".to_owned(),
    }
}

/// A session of a new user.
pub(crate) fn session() -> Session {
    session_of(UserId::generate(now()))
}

pub(crate) fn session_of(user: UserId) -> Session {
    let (now, current) = (now(), token());
    Session {
        id: SessionId::generate(now),
        user,
        epoch: 0,
        device: "Browser".to_owned(),
        address: None,
        created_at: now,
        last_used_at: now,
        idle_at: current.expires_at,
        ends_at: now + Duration::from_secs(86_400),
        current,
        previous: None,
        methods: Methods::of(Method::Password),
        authenticated_at: now,
        multi_at: None,
        actor: None,
    }
}

pub(crate) fn rotation(session: &Session, leeway: Duration) -> Rotation {
    Rotation {
        session: session.id,
        user: session.user,
        presented: session.current.id,
        epoch: session.epoch,
        successor: token(),
        address: None,
        now: now(),
        leeway,
    }
}

pub(crate) async fn made(store: &Arc<dyn SessionStore>) -> Session {
    let session = session();
    store.create(&session, 100).await.expect("a reply");
    session
}

pub(crate) async fn found(store: &Arc<dyn SessionStore>, session: &Session) -> Option<Session> {
    let view = store.find(session.user, session.id).await.expect("a reply");
    view.map(|view| view.session)
}

pub(crate) async fn try_acquire(
    store: &Arc<dyn LimitStore>,
    key: LimitKey,
    quota: Quota,
    elapsed: Duration,
) -> Result<StoreDecision, StoreError> {
    match store.acquire(key, quota, elapsed) {
        StoreAcquire::Ready(decision) => Ok(decision),
        StoreAcquire::Pending(pending) => pending.await,
    }
}

pub(crate) async fn acquire(
    store: &Arc<dyn LimitStore>,
    key: LimitKey,
    quota: Quota,
    elapsed: Duration,
) -> StoreDecision {
    try_acquire(store, key, quota, elapsed).await.expect("a reply")
}

/// Whether the call succeeded; any failure but [`StoreError::is_unavailable`] is a defect.
pub(crate) fn succeeded<T>(answer: Result<T, StoreError>) -> bool {
    match answer {
        Ok(_) => true,
        Err(error) => {
            assert!(error.is_unavailable(), "{error:?}");
            false
        }
    }
}

/// Waits until the store accepts writes again. Until then, every call must be unavailable.
pub(crate) async fn recovered(database: &RedisDatabase) {
    let sessions = database.sessions();
    let writable = async {
        while !succeeded(sessions.create(&session(), 9).await) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(RECOVERY, writable).await.expect("recovery");
}

/// Creates and uses a session and a limit.
pub(crate) async fn works(database: &RedisDatabase) {
    let (sessions, limits) = (database.sessions(), database.limits());
    let session = made(&sessions).await;
    let rotated = sessions.rotate(&rotation(&session, Duration::ZERO)).await.expect("a reply");
    let Rotated::Rotated(session) = rotated else { panic!("{rotated:?}") };
    assert_eq!(found(&sessions, &session).await.as_ref(), Some(&session));
    assert!(sessions.end(session.user, session.id).await.expect("a reply"));
    let decision = acquire(&limits, key("works"), Quota::per_hour(1000), Duration::ZERO).await;
    assert_eq!(decision.retry_after, None);
}
