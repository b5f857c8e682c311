//! O4: the server is killed at any moment under a mixed load of writes, fifty times. What was
//! answered is there, the database is sound, and the next start is ready.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::process::{ADMIN, ADMIN_PASSWORD, Client, PATIENCE, Site, UNLIMITED};

const ROUNDS: u64 = 50;
const WRITERS: u64 = 3;
const PASSWORD: &str = "a long walk on a short pier";
const SETTINGS: [(&str, &str); 2] =
    [("GOAT_REFRESH_LEEWAY", "60s"), ("GOAT_LOG", "warn,goat_server=info")];

/// What the server has answered, and so must keep.
#[derive(Default)]
struct Ledger {
    /// How many writes were answered.
    responses: u64,
    /// Users by id, with their address.
    users: Vec<(String, String)>,
    /// The refresh token that was answered last, by session.
    alive: Vec<String>,
    /// Refresh tokens of sessions whose end was answered.
    ended: Vec<String>,
}

#[test]
fn what_was_answered_survives_fifty_kills() {
    let settings = UNLIMITED.iter().chain(&SETTINGS);
    let site = settings.fold(Site::new(), |site, (name, value)| site.with(name, value));
    let names = AtomicU64::new(0);
    let mut answered = 0;
    for round in 0..ROUNDS {
        let (server, address) = site.serve();
        let ledger = Mutex::new(Ledger::default());
        let over = AtomicBool::new(false);
        let client = Client::new(address);
        std::thread::scope(|scope| {
            for _ in 0..WRITERS {
                scope.spawn(|| write(client, &names, &ledger, &over));
            }
            // Another moment each round: from amid the first sign-up to amid many writes, and from
            // right after a response to far into what is being done then.
            await_answers(&ledger, round % 16);
            std::thread::sleep(Duration::from_micros(900 * (round % 23)));
            server.kill();
            over.store(true, Ordering::SeqCst);
        });
        let ledger = ledger.into_inner().expect("no writer failed");
        answered += ledger.responses;
        let (server, address) = site.serve();
        verify(&Client::new(address), &ledger);
        drop(server);
        assert_sound(&site.path("data/goat.db"));
    }
    assert!(answered > 100, "the load answered only {answered} writes in {ROUNDS} rounds");
}

/// Waits until so many writes were answered, whatever the machine's speed.
fn await_answers(ledger: &Mutex<Ledger>, due: u64) {
    let begun = Instant::now();
    while ledger.lock().expect("the ledger").responses < due {
        assert!(begun.elapsed() < PATIENCE, "the server does not response");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Signs up, signs in, refreshes and signs out until the server is gone; notes what was answered.
fn write(client: Client, names: &AtomicU64, ledger: &Mutex<Ledger>, over: &AtomicBool) {
    while !over.load(Ordering::SeqCst) {
        if write_one(client, names.fetch_add(1, Ordering::SeqCst), ledger).is_none() {
            return;
        }
    }
}

fn write_one(client: Client, name: u64, ledger: &Mutex<Ledger>) -> Option<()> {
    let email = format!("user{name}@example.org");
    let credentials = json!({ "email": email, "password": PASSWORD });
    let note = |change: &dyn Fn(&mut Ledger)| change(&mut ledger.lock().expect("the ledger"));

    let signed_up = client.post("/api/v1/auth/signup", None, &credentials)?;
    assert_eq!(signed_up.status, 201, "{signed_up:?}");
    let id = text(&signed_up.body, "/data/id");
    note(&|ledger| {
        ledger.responses += 1;
        ledger.users.push((id.clone(), email.clone()));
    });

    let signed_in = client.post("/api/v1/auth/login", None, &credentials)?;
    assert_eq!(signed_in.status, 200, "{signed_in:?}");
    let mut access = text(&signed_in.body, "/data/access_token");
    let mut refresh = text(&signed_in.body, "/data/refresh_token");
    note(&|ledger| {
        ledger.responses += 1;
        ledger.alive.push(refresh.clone());
    });

    for _ in 0..3 {
        let body = json!({ "refresh_token": refresh });
        let refreshed = client.post("/api/v1/auth/refresh", None, &body)?;
        assert_eq!(refreshed.status, 200, "{refreshed:?}");
        let next = text(&refreshed.body, "/data/refresh_token");
        access = text(&refreshed.body, "/data/access_token");
        note(&|ledger| {
            ledger.responses += 1;
            ledger.alive.retain(|token| *token != refresh);
            ledger.alive.push(next.clone());
        });
        refresh = next;
    }
    if name.is_multiple_of(2) {
        // From here on the session may be over or not, until the response says that it is.
        note(&|ledger| ledger.alive.retain(|token| *token != refresh));
        let signed_out = client.call("POST", "/api/v1/auth/logout", Some(&access), None)?;
        assert_eq!(signed_out.status, 204, "{signed_out:?}");
        note(&|ledger| {
            ledger.responses += 1;
            ledger.ended.push(refresh.clone());
        });
    }
    Some(())
}

fn verify(client: &Client, ledger: &Ledger) {
    let ready = client.call("GET", "/api/ready", None, None).expect("a response");
    assert_eq!(ready.status, 200, "{ready:?}");
    let credentials = json!({ "email": ADMIN, "password": ADMIN_PASSWORD });
    let admin = client.post("/api/v1/auth/login", None, &credentials).expect("a response");
    let admin = text(&admin.body, "/data/access_token");
    for (id, email) in &ledger.users {
        let user = client.get(&format!("/api/v1/user/{id}"), &admin).expect("a response");
        assert_eq!((user.status, text(&user.body, "/data/email")), (200, email.clone()));
    }
    // R3: also where the server died between the commit and the response.
    for token in &ledger.alive {
        let body = json!({ "refresh_token": token });
        let refreshed = client.post("/api/v1/auth/refresh", None, &body).expect("a response");
        assert_eq!(refreshed.status, 200, "a session that was answered is gone: {refreshed:?}");
    }
    // R4
    for token in &ledger.ended {
        let body = json!({ "refresh_token": token });
        let refused = client.post("/api/v1/auth/refresh", None, &body).expect("a response");
        assert_eq!(text(&refused.body, "/code"), "session-revoked", "{refused:?}");
    }
}

fn assert_sound(database: &std::path::Path) {
    let url = format!("sqlite://{}", database.display());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be started");
    let found: String = runtime.block_on(async {
        let pool = sqlx::SqlitePool::connect(&url).await.expect("the database opens");
        sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&pool).await.expect("a verdict")
    });
    assert_eq!(found, "ok");
}

fn text(body: &serde_json::Value, place: &str) -> String {
    let found = body.pointer(place).and_then(serde_json::Value::as_str);
    found.unwrap_or_else(|| panic!("{place} is missing in {body}")).to_owned()
}
