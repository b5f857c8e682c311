//! The listener settings, and the purge job beside the server.

use std::path::Path;
use std::sync::Arc;

use goat_core::auth::{Login, SignUp};
use goat_core::session::Origin;
use goat_core::testing::{ManualClock, PlainHasher};
use goat_core::token::TokenKeys;
use goat_core::{Email, Stores};
use tokio::time::sleep;

use super::*;
use crate::start::settings::Flags;

/// Returns a goat with an expired session.
async fn goat_with_an_expired_session() -> Goat {
    let clock = Arc::new(ManualClock::default());
    let goat = Goat::builder(Stores::memory(), TokenKeys::generate())
        .hasher(Arc::new(PlainHasher::default()))
        .clock(Arc::clone(&clock) as _)
        .build()
        .expect("a goat");
    let (email, password) = ("ann@example.org", "a walk on a short pier");
    let sign_up = SignUp {
        email: Email::parse(email).expect("an address"),
        password: Some(password.into()),
        origin: Origin::default(),
    };
    goat.sign_up(sign_up).await.expect("a user");
    let login = Login {
        email: email.into(),
        password: password.into(),
        device_token: None,
        origin: Origin::default(),
    };
    goat.login(login).await.expect("a session");
    clock.advance(Duration::from_secs(365 * 86_400));
    goat
}

async fn left(goat: &Goat) -> u64 {
    goat.sessions().purge(1000).await.expect("the store answers")
}

#[tokio::test(start_paused = true)]
async fn expired_sessions_are_purged_until_the_server_drains() {
    assert_eq!(
        left(&goat_with_an_expired_session().await).await,
        1,
        "there is something to remove"
    );

    let goat = goat_with_an_expired_session().await;
    let lifecycle = Lifecycle::new();
    let job = tokio::spawn({
        let (goat, lifecycle) = (goat.clone(), lifecycle.clone());
        async move { maintain(&goat, &lifecycle).await }
    });
    sleep(Duration::from_secs(120)).await;
    assert!(!job.is_finished());
    lifecycle.drain();
    job.await.expect("it ends with the server");
    assert_eq!(left(&goat).await, 0);
}

#[test]
fn each_listener_setting_is_applied() {
    let told = |variables: &[(&str, &str)]| {
        let environment = variables.iter().map(|(name, value)| (name.into(), value.into()));
        let file = Path::new("there-is-no.env");
        let settings = Settings::load(environment, &Flags::default(), file);
        serve_settings(&settings.expect("valid settings").0.http)
    };
    let shipped = ServeSettings::default();
    let seconds = Duration::from_secs;
    assert_eq!(told(&[]), shipped, "what is shipped is what the library does by itself");
    for (variable, value, expected) in [
        ("GOAT_MAX_CONNECTIONS", "7", ServeSettings { max_connections: 7, ..shipped.clone() }),
        (
            "GOAT_MAX_CONNECTIONS_PER_ADDRESS",
            "7",
            ServeSettings { max_connections_per_address: 7, ..shipped.clone() },
        ),
        (
            "GOAT_TRUSTED_PROXIES",
            "10.0.0.0/8",
            ServeSettings {
                trusted_proxies: "10.0.0.0/8".parse().expect("a range"),
                ..shipped.clone()
            },
        ),
        (
            "GOAT_HEADER_TIMEOUT",
            "3s",
            ServeSettings { header_timeout: seconds(3), ..shipped.clone() },
        ),
        (
            "GOAT_REQUEST_TIMEOUT",
            "9s",
            ServeSettings { request_timeout: seconds(9), ..shipped.clone() },
        ),
        ("GOAT_IDLE_TIMEOUT", "8s", ServeSettings { idle_timeout: seconds(8), ..shipped.clone() }),
        ("GOAT_DRAIN_DELAY", "4s", ServeSettings { drain_delay: seconds(4), ..shipped.clone() }),
        (
            "GOAT_SHUTDOWN_TIMEOUT",
            "20s",
            ServeSettings { shutdown_timeout: seconds(20), ..shipped.clone() },
        ),
    ] {
        assert_eq!(told(&[(variable, value)]), expected, "{variable}");
    }
}
