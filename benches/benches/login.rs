//! Timing of failed logins and of requests for letters: whether the response time reveals if an account
//! exists, with goat's own hashes alone and while bcrypt hashes are in use. Samples are interleaved, so that
//! other load affects all cases equally.

use std::sync::Arc;
use std::time::{Duration, Instant};

use benches::application::PASSWORD;
use benches::summary::Summary;
use goat_core::auth::Login;
use goat_core::password::ForeignHashes;
use goat_core::session::Origin;
use goat_core::store::{UserChange, UserSnapshot, UserWrite};
use goat_core::user::{Account, NewUser};
use goat_core::{Actor, Email, Goat, Settings, Signup, Status, Stores, token::TokenKeys};

const ROUNDS: usize = 60;

/// Of requests for letters, which are much shorter.
const LETTER_ROUNDS: usize = 1000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime can be started");
    runtime.block_on(measure());
}

/// A case: its name, an address, and a password.
type Case = (&'static str, &'static str, &'static str);

const WRONG: &str = "not the password at all";

/// bcrypt at its usual cost of 12.
const BCRYPT: &str = "$2b$12$DBkVNWrqgqwNstFCElzCSu4TwOgMEPAK/.Ux7CS2Yhv6Od40IKn16";

async fn measure() {
    let mut summary = Summary::of("login");
    let stores = Stores::memory();
    let goat = goat(stores.clone(), ForeignHashes::default());
    for (name, status) in
        [("active", Status::Active), ("inactive", Status::Inactive), ("adopted", Status::Active)]
    {
        let email = Email::parse(&format!("{name}@example.org")).expect("an address");
        let role = goat.roles().get("client").expect("a shipped role");
        let new = NewUser { email, password: Some(PASSWORD.into()), role, status };
        goat.users().create(Actor::system("bench"), new).await.expect("a new user");
    }
    let cases = [
        ("known address, wrong password", "active@example.org", WRONG),
        ("unknown address", "nobody@example.org", WRONG),
        ("inactive account, wrong password", "inactive@example.org", WRONG),
        ("malformed address", "nobody", WRONG),
        ("known address, empty password", "active@example.org", ""),
    ];
    compare("failed logins", &goat, &cases, &mut summary).await;

    store_hash(&stores, &goat, "adopted@example.org", BCRYPT).await;
    goat.prepare().await.expect("the hash can be verified");
    let cases = [
        ("known address with bcrypt", "adopted@example.org", WRONG),
        ("unknown address, bcrypt in use", "nobody@example.org", WRONG),
        ("known address with Argon2id, bcrypt in use", "active@example.org", WRONG),
    ];
    compare("failed logins while bcrypt hashes are in use", &goat, &cases, &mut summary).await;
    letters(&mut summary).await;
    summary.write();
}

fn goat(stores: Stores, hasher: ForeignHashes) -> Goat {
    let settings = Settings { account_quota: None, account_day_quota: None, ..Settings::default() };
    Goat::builder(stores, TokenKeys::generate())
        .settings(settings)
        .hasher(Arc::new(hasher))
        .build()
        .expect("the settings are in bounds")
}

/// Stores a text as a user's password hash.
async fn store_hash(stores: &Stores, goat: &Goat, address: &str, hash: &str) {
    store(stores, goat, address, |account| account.password_hash = hash.into()).await;
}

/// Stores a changed account, bypassing goat.
async fn store(stores: &Stores, goat: &Goat, address: &str, change: impl FnOnce(&mut Account)) {
    let email = Email::parse(address).expect("an address");
    let found = stores.users.by_email(email.canonical()).await.expect("a store in memory");
    let mut account = found.expect("the user");
    change(&mut account);
    let decide = |_: &UserSnapshot| Ok(UserChange::Put(account.clone()));
    let top_role = &goat.roles().get("admin").expect("a shipped role");
    let (target, assigns) = (account.user.id, None);
    let write = UserWrite { actor: None, key: None, target, top_role, assigns, decide: &decide };
    stores.users.write(write).await.expect("a store in memory");
}

/// Compares the cases with the first one.
async fn compare(title: &str, goat: &Goat, cases: &[Case], summary: &mut Summary) {
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
    let first = format!("{}, {}", cases[0].0, milliseconds(medians[0]));
    println!("{title}, median of {ROUNDS} interleaved samples, ratio to the first:");
    for ((name, _, _), time) in cases.iter().zip(&medians) {
        let ratio = time.as_secs_f64() / medians[0].as_secs_f64();
        println!("  {name:<44} {:>8.2} ms  {ratio:.3}", time.as_secs_f64() * 1e3);
        if *name != cases[0].0 {
            summary.row(name, ratio, &milliseconds(*time), &first);
        }
    }
}

/// A request for a letter.
#[derive(Clone, Copy)]
enum Request {
    SignUp,
    Recovery,
    SignIn,
}

/// Compares requests for letters by addresses of each kind with those by an unknown one, in SQLite.
async fn letters(summary: &mut Summary) {
    let folder = tempfile::tempdir().expect("a folder");
    let stores = Stores::sqlite(folder.path().join("goat.db")).await.expect("a database");
    let settings = Settings {
        mail_quota: None,
        email_sign_in: true,
        signup: Signup::Confirmed,
        ..Settings::default()
    };
    let goat = Goat::builder(stores.clone(), TokenKeys::generate())
        .settings(settings)
        .test_letters()
        .build()
        .expect("the settings are in bounds");
    let users = goat.users();
    let names = ["unknown", "known", "verified", "suspended", "inactive"];
    for name in &names[1..] {
        let email = Email::parse(&format!("{name}@example.org")).expect("an address");
        let role = goat.roles().get("client").expect("a shipped role");
        let status = if *name == "inactive" { Status::Inactive } else { Status::Active };
        let new = NewUser { email, password: Some(PASSWORD.into()), role, status };
        let user = users.create(Actor::system("bench"), new).await.expect("a new user");
        if *name == "suspended" {
            let changed = users.change_status(Actor::system("bench"), user.id, Status::Suspended);
            changed.await.expect("suspended");
        }
    }
    store(&stores, &goat, "verified@example.org", |account| {
        account.user.email_verified_at = Some(account.user.created_at);
    })
    .await;
    for (title, request) in [
        ("sign-up", Request::SignUp),
        ("recovery", Request::Recovery),
        ("sign-in by a letter", Request::SignIn),
    ] {
        let mut samples = vec![Vec::with_capacity(LETTER_ROUNDS); names.len()];
        for round in 0..LETTER_ROUNDS {
            // In another order each time, so that no case follows the same one.
            for place in 0..names.len() {
                let case = (place * (1 + round % (names.len() - 1)) + round) % names.len();
                let email = format!("{}@example.org", names[case]);
                let email = Email::parse(&email).expect("an address");
                let origin = Origin::default();
                let started = Instant::now();
                let sent = match request {
                    Request::SignUp => goat.request_sign_up(email, &origin).await,
                    Request::Recovery => goat.request_recovery(email, &origin).await,
                    Request::SignIn => goat.request_sign_in(email, &origin).await,
                };
                samples[case].push(started.elapsed());
                sent.expect("accepted");
            }
            drop(goat.testing().letters().take());
        }
        let medians: Vec<_> = samples.into_iter().map(median).collect();
        println!("request for a letter, {title}: median of {LETTER_ROUNDS} interleaved samples");
        for (name, time) in names.iter().zip(&medians) {
            let ratio = time.as_secs_f64() / medians[0].as_secs_f64();
            println!("  {name:<44} {:>8.1} µs  {ratio:.3}", time.as_secs_f64() * 1e6);
            if *name != names[0] {
                let row = format!("request for a letter, {title}: {name} address");
                summary.row(&row, ratio, &microseconds(*time), &microseconds(medians[0]));
            }
        }
    }
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

fn microseconds(time: Duration) -> String {
    format!("{:.1} µs", time.as_secs_f64() * 1e6)
}
