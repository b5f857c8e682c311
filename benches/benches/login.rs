//! Timing of failed logins: whether the response time reveals if an account exists. Samples are
//! interleaved, so that other load affects all cases equally.

use std::time::{Duration, Instant};

use benches::application::PASSWORD;
use benches::summary::Summary;
use goat_core::auth::Login;
use goat_core::session::Origin;
use goat_core::user::NewUser;
use goat_core::{Actor, Email, Goat, Settings, Status, Stores, token::TokenKeys};

const ROUNDS: usize = 60;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime can be started");
    runtime.block_on(measure());
}

async fn measure() {
    let settings = Settings { account_quota: None, account_day_quota: None, ..Settings::default() };
    let goat = Goat::builder(Stores::memory(), TokenKeys::generate())
        .settings(settings)
        .build()
        .expect("the settings are in bounds");
    let role = goat.roles().get("client").expect("a shipped role");
    for (name, status) in [("active", Status::Active), ("inactive", Status::Inactive)] {
        let email = Email::parse(&format!("{name}@example.org")).expect("an address");
        let new = NewUser { email, password: PASSWORD.into(), role: role.clone(), status };
        goat.users().create(Actor::system("bench"), new).await.expect("a new user");
    }
    let cases = [
        ("known address, wrong password", "active@example.org", "not the password at all"),
        ("unknown address", "nobody@example.org", "not the password at all"),
        ("inactive account, wrong password", "inactive@example.org", "not the password at all"),
        ("malformed address", "nobody", "not the password at all"),
        ("known address, empty password", "active@example.org", ""),
    ];
    let mut samples = vec![Vec::with_capacity(ROUNDS); cases.len()];
    for _ in 0..ROUNDS {
        for ((_, email, password), samples) in cases.iter().zip(&mut samples) {
            let started = Instant::now();
            let result = goat.login(attempt(email, password)).await;
            samples.push(started.elapsed());
            assert!(result.is_err(), "the login fails");
        }
    }
    let medians: Vec<_> = samples.into_iter().map(median).collect();
    let mut summary = Summary::of("login");
    let first = format!("{}, {}", cases[0].0, milliseconds(medians[0]));
    println!("failed logins, median of {ROUNDS} interleaved samples, ratio to the first:");
    for ((name, _, _), time) in cases.iter().zip(&medians) {
        let ratio = time.as_secs_f64() / medians[0].as_secs_f64();
        println!("  {name:<36} {:>8.2} ms  {ratio:.3}", time.as_secs_f64() * 1e3);
        if *name != cases[0].0 {
            summary.row(name, ratio, &milliseconds(*time), &first);
        }
    }
    summary.write();
}

fn attempt(email: &str, password: &str) -> Login {
    Login {
        email: email.into(),
        password: password.into(),
        device_token: None,
        origin: Origin::default(),
    }
}

fn median(mut samples: Vec<Duration>) -> Duration {
    samples.sort_unstable();
    samples[samples.len() / 2]
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}
