//! Sessions and limits in Redis, written through the stores.

use std::sync::Arc;
use std::time::Duration;

use goat_core::auth::{Method, Methods};
use goat_core::limit::{LimitKey, LimitStore, StoreAcquire};
use goat_core::session::{RefreshToken, Session};
use goat_core::{Clock, Quota, SessionId, SystemClock, TokenId, UserId};
use goat_engines::Redis;
use tokio::task::JoinSet;

/// Concurrent calls.
pub const AT_ONCE: usize = 64;

/// Returns a field of `INFO`, or an empty text.
pub fn info(redis: &Redis, section: &str, field: &str) -> String {
    let text = redis.cli(&["INFO", section]);
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.unwrap_or_default().trim_start_matches(':').trim().to_owned()
}

/// Returns the used memory in bytes.
///
/// # Panics
/// If the server does not respond.
pub fn used(redis: &Redis) -> u64 {
    info(redis, "memory", "used_memory").parse().expect("a number")
}

/// Returns the server's microseconds per script call since the last reset.
///
/// # Panics
/// If no script was called.
pub fn microseconds(redis: &Redis) -> f64 {
    let line = info(redis, "commandstats", "cmdstat_evalsha");
    let field = line.split(',').find_map(|field| field.strip_prefix("usec_per_call="));
    field.expect("scripts were called").parse().expect("a number")
}

/// Returns the key of a limit.
pub fn key(number: usize) -> LimitKey {
    LimitKey::text("measured", &number.to_string())
}

/// Acquires one request.
///
/// # Panics
/// If it is limited.
pub async fn acquire(limits: Arc<dyn LimitStore>, key: LimitKey, quota: Quota) {
    // No key exceeds its quota, so every request is allowed.
    let StoreAcquire::Pending(decision) = limits.acquire(key, quota, Duration::ZERO) else {
        panic!("limited")
    };
    assert_eq!(decision.await.expect("a decision").retry_after, None);
}

/// Runs `count` calls, [`AT_ONCE`] at once.
///
/// # Panics
/// If a call panics.
pub async fn each<F>(count: usize, call: impl Fn(usize) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut set = JoinSet::new();
    for number in 0..count {
        if set.len() == AT_ONCE {
            set.join_next().await.expect("some").expect("no panic");
        }
        set.spawn(call(number));
    }
    set.join_all().await;
}

/// A session as a browser opens it.
///
/// # Panics
/// Never.
pub fn session(user: UserId) -> Session {
    let now = SystemClock::start().now();
    let current = RefreshToken {
        id: TokenId::generate(now),
        issued_at: now.floor_to_second(),
        expires_at: now + Duration::from_secs(14 * 86_400),
        key: "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs".to_owned(),
    };
    Session {
        id: SessionId::generate(now),
        user,
        epoch: 0,
        device: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36".to_owned(),
        address: Some("2001:db8::1".parse().expect("an address")),
        created_at: now,
        last_used_at: now,
        idle_at: current.expires_at,
        ends_at: now + Duration::from_secs(90 * 86_400),
        current,
        previous: None,
        methods: Methods::of(Method::Password),
        authenticated_at: now,
        multi_at: None,
        actor: None,
    }
}
