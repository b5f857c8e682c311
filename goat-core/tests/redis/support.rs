//! What the tests of Redis begin with.

use std::sync::Arc;
use std::time::Duration;

use goat_core::limit::{LimitKey, LimitStore, Spending, Spent};
use goat_core::session::{RefreshToken, Rotated, Rotation, Session, SessionStore};
use goat_core::store::redis::{RedisDatabase, RedisOptions};
use goat_core::{Clock, Quota, SessionId, StoreError, SystemClock, Timestamp, TokenId, UserId};
use goat_engines::Redis;

/// How long a call may take where a test breaks the line.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(300);
/// How long whatever was broken may take to be as it was.
const RECOVERY: Duration = Duration::from_secs(20);

pub(crate) fn open(options: &RedisOptions) -> RedisDatabase {
    RedisDatabase::open(options).expect("a URL")
}

/// On the server that tests share, below a prefix of its own.
pub(crate) fn shared() -> RedisOptions {
    RedisOptions::new(Redis::shared().url()).prefix(Redis::prefix())
}

/// A line that is given up soon.
pub(crate) fn hasty(url: &str) -> RedisDatabase {
    open(&RedisOptions::new(url).prefix(Redis::prefix()).timeout(TIMEOUT))
}

pub(crate) fn now() -> Timestamp {
    SystemClock::start().now()
}

pub(crate) fn key(name: &str) -> LimitKey {
    LimitKey::text("test", name)
}

/// A token that lives for an hour.
pub(crate) fn token() -> RefreshToken {
    let issued_at = now().floor_to_second();
    RefreshToken {
        id: TokenId::generate(issued_at),
        issued_at,
        expires_at: issued_at + Duration::from_secs(3600),
        key: "key".to_owned(),
    }
}

/// A session of somebody new.
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
    }
}

pub(crate) fn rotation(session: &Session, leeway: Duration) -> Rotation {
    Rotation {
        session: session.id,
        user: session.user,
        presented: session.current.id,
        successor: token(),
        now: now(),
        leeway,
    }
}

pub(crate) async fn made(store: &Arc<dyn SessionStore>) -> Session {
    let session = session();
    store.create(&session, 100).await.expect("it answers");
    session
}

pub(crate) async fn found(store: &Arc<dyn SessionStore>, session: &Session) -> Option<Session> {
    let view = store.find(session.user, session.id).await.expect("it answers");
    view.map(|view| view.session)
}

pub(crate) async fn try_spend(
    store: &Arc<dyn LimitStore>,
    key: LimitKey,
    quota: Quota,
    elapsed: Duration,
) -> Result<Spent, StoreError> {
    match store.spend(key, quota, elapsed) {
        Spending::Done(spent) => Ok(spent),
        Spending::Pending(pending) => pending.await,
    }
}

pub(crate) async fn spend(
    store: &Arc<dyn LimitStore>,
    key: LimitKey,
    quota: Quota,
    elapsed: Duration,
) -> Spent {
    try_spend(store, key, quota, elapsed).await.expect("it answers")
}

/// Whether the call went through; any failure but [`StoreError::is_unavailable`] is a defect.
pub(crate) fn is_there<T>(answer: Result<T, StoreError>) -> bool {
    match answer {
        Ok(_) => true,
        Err(error) => {
            assert!(error.is_unavailable(), "{error:?}");
            false
        }
    }
}

/// Waits until the store writes again, by itself. Before that, everything is unavailable and
/// nothing else.
pub(crate) async fn recovered(database: &RedisDatabase) {
    let sessions = database.sessions();
    let back = async {
        while !is_there(sessions.create(&session(), 9).await) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(RECOVERY, back).await.expect("it comes back by itself");
}

/// Makes a session and uses it, a limit too: everything works.
pub(crate) async fn works(database: &RedisDatabase) {
    let (sessions, limits) = (database.sessions(), database.limits());
    let session = made(&sessions).await;
    let rotated = sessions.rotate(&rotation(&session, Duration::ZERO)).await.expect("it answers");
    let Rotated::Rotated(session) = rotated else { panic!("{rotated:?}") };
    assert_eq!(found(&sessions, &session).await.as_ref(), Some(&session));
    assert!(sessions.end(session.user, session.id).await.expect("it answers"));
    let spent = spend(&limits, key("works"), Quota::per_hour(1000), Duration::ZERO).await;
    assert_eq!(spent.retry_after, None);
}
