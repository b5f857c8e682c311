//! Shared parts of the storage suites: sample users and sessions, and races.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::access::Role;
use crate::clock::Timestamp;
use crate::id::{SessionId, TokenId, UserId};
use crate::key::{Key, PresentedKey, Scopes, StoredKey};
use crate::proof::{Method, Methods};
use crate::session::{RefreshToken, Session, SessionEpoch};
use crate::user::{Account, Attributes, Email, Status, User};

/// The start of a suite's time: some milliseconds after 2026-01-01T00:00:00Z, to detect a store
/// that truncates them.
pub(crate) const START: Timestamp = Timestamp::from_millis(1_767_225_600_347);

/// An instant after the start.
pub(crate) fn later(seconds: u64) -> Timestamp {
    START + Duration::from_secs(seconds)
}

/// A unique word, so that cases do not interfere in the store.
pub(crate) fn word() -> String {
    TokenId::generate(START).to_string().to_lowercase()
}

/// A unique role.
pub(crate) fn role() -> Role {
    Role::parse(&word()).expect("a role's name")
}

/// An active user.
pub(crate) fn account(role: &Role) -> Account {
    account_of(role, &format!("{}@example.org", word()))
}

/// An active service account.
pub(crate) fn service_account(role: &Role) -> Account {
    account_of(role, &format!("{}@service.invalid", word()))
}

/// An active user with an address.
pub(crate) fn account_of(role: &Role, email: &str) -> Account {
    Account {
        user: User {
            id: UserId::generate(START),
            email: Email::parse(email).expect("an address"),
            email_verified_at: None,
            role: role.clone(),
            status: Status::Active,
            created_at: START,
            updated_at: START,
            last_login_at: None,
            attributes: Attributes::default(),
        },
        password_hash: "hash".into(),
        epoch: SessionEpoch::default(),
        replacement: None,
        revision: 0,
    }
}

/// A refresh token with a TTL of one hour.
pub(crate) fn token(issued_at: Timestamp) -> RefreshToken {
    RefreshToken {
        id: TokenId::generate(issued_at),
        issued_at,
        expires_at: issued_at + Duration::from_secs(3600),
        key: "key".to_owned(),
    }
}

/// A session that expires after one idle hour, and after a day at the latest.
pub(crate) fn session(user: UserId, created_at: Timestamp) -> Session {
    let current = token(created_at);
    Session {
        id: SessionId::generate(created_at),
        user,
        epoch: 0,
        device: "Browser".to_owned(),
        address: None,
        created_at,
        last_used_at: created_at,
        idle_at: current.expires_at,
        ends_at: created_at + Duration::from_secs(24 * 3600),
        current,
        previous: None,
        methods: Methods::of(Method::Password),
        authenticated_at: created_at,
        multi_at: None,
        actor: None,
    }
}

/// A key that never expires.
pub(crate) fn stored_key(owner: UserId) -> StoredKey {
    let presented = PresentedKey::generate(START);
    let key = Key {
        id: presented.id(),
        owner,
        made_by: Some(owner),
        name: "backup".to_owned(),
        scopes: Scopes::Role,
        created_at: START,
        expires_at: None,
        last_used_at: None,
    };
    StoredKey { key, hash: presented.hash() }
}

/// Starts tasks at the same moment and returns their results.
pub(crate) async fn race<T, F>(tasks: usize, task: impl Fn(usize) -> F) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let start = Arc::new(Barrier::new(tasks));
    let mut set = JoinSet::new();
    for number in 0..tasks {
        let (start, work) = (Arc::clone(&start), task(number));
        set.spawn(async move {
            start.wait().await;
            work.await
        });
    }
    set.join_all().await
}

/// Polls a future at most `times` times, then drops it.
pub(crate) async fn polled<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut polls = 0;
    poll_fn(|context| {
        if polls == times {
            return Poll::Ready(None);
        }
        polls += 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}
