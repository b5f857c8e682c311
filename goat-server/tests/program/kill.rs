//! O4: the server is killed at any moment under a mixed load of writes, fifty times. Every acknowledged
//! write survives, the database is sound, and the next start is ready.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::process::{ADMIN, ADMIN_PASSWORD, Client, Program, TIMEOUT, UNLIMITED};

const ROUNDS: u64 = 50;
/// Servers that are killed concurrently, each with a database of its own.
const LANES: u64 = 3;
const WRITERS: u64 = 3;
const PASSWORD: &str = "a long walk on a short pier";
const SETTINGS: [(&str, &str); 2] =
    [("GOAT_REFRESH_LEEWAY", "60s"), ("GOAT_LOG", "warn,goat_server=info")];

/// The acknowledged writes.
#[derive(Default)]
struct Ledger {
    /// The number of acknowledged writes.
    count: u64,
    /// Ids and addresses of users.
    users: Vec<(String, String)>,
    /// The last acknowledged refresh token of each session.
    alive: Vec<String>,
    /// Refresh tokens of sessions whose end was acknowledged.
    ended: Vec<String>,
}

#[test]
fn acknowledged_writes_survive_fifty_kills() {
    let acknowledged: u64 = thread::scope(|scope| {
        let lanes: Vec<_> =
            (0..LANES).map(|lane| scope.spawn(move || kill_in_lane(lane))).collect();
        lanes.into_iter().map(|lane| lane.join().expect("no panic")).sum()
    });
    assert!(acknowledged > 100, "only {acknowledged} writes in {ROUNDS} rounds");
}

/// Runs every round of a lane, and returns the number of acknowledged writes.
fn kill_in_lane(lane: u64) -> u64 {
    let settings = UNLIMITED.iter().chain(&SETTINGS);
    let program = settings.fold(Program::new(), |program, (name, value)| program.with(name, value));
    let names = AtomicU64::new(0);
    let mut acknowledged = 0;
    let (mut server, mut address) = program.serve();
    for round in (0..ROUNDS).filter(|round| round % LANES == lane) {
        let ledger = Mutex::new(Ledger::default());
        let over = AtomicBool::new(false);
        let client = Client::new(address);
        thread::scope(|scope| {
            for _ in 0..WRITERS {
                scope.spawn(|| write(client, &names, &ledger, &over));
            }
            // Another moment in each round: from the first sign-up to many writes, and from the time of
            // a response to the middle of the next write.
            await_responses(&ledger, round % 16);
            thread::sleep(Duration::from_micros(900 * (round % 23)));
            server.kill();
            over.store(true, Ordering::SeqCst);
        });
        let ledger = ledger.into_inner().expect("no writer failed");
        acknowledged += ledger.count;
        (server, address) = program.serve();
        verify(&Client::new(address), &ledger);
        assert_sound(&program.path("data/goat.db"));
    }
    acknowledged
}

/// Waits for this number of acknowledged writes.
fn await_responses(ledger: &Mutex<Ledger>, due: u64) {
    let begun = Instant::now();
    while ledger.lock().expect("the ledger").count < due {
        assert!(begun.elapsed() < TIMEOUT, "the server does not respond");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Signs up, signs in, refreshes and signs out until the server is gone, and records the responses.
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
        ledger.count += 1;
        ledger.users.push((id.clone(), email.clone()));
    });

    let signed_in = client.post("/api/v1/auth/login", None, &credentials)?;
    assert_eq!(signed_in.status, 200, "{signed_in:?}");
    let mut access = text(&signed_in.body, "/data/access_token");
    let mut refresh = text(&signed_in.body, "/data/refresh_token");
    note(&|ledger| {
        ledger.count += 1;
        ledger.alive.push(refresh.clone());
    });

    for _ in 0..3 {
        let body = json!({ "refresh_token": refresh });
        let refreshed = client.post("/api/v1/auth/refresh", None, &body)?;
        assert_eq!(refreshed.status, 200, "{refreshed:?}");
        let next = text(&refreshed.body, "/data/refresh_token");
        access = text(&refreshed.body, "/data/access_token");
        note(&|ledger| {
            ledger.count += 1;
            ledger.alive.retain(|token| *token != refresh);
            ledger.alive.push(next.clone());
        });
        refresh = next;
    }
    if name.is_multiple_of(2) {
        // Until the response, the session may have ended or not.
        note(&|ledger| ledger.alive.retain(|token| *token != refresh));
        let signed_out = client.call("POST", "/api/v1/auth/logout", Some(&access), None)?;
        assert_eq!(signed_out.status, 204, "{signed_out:?}");
        note(&|ledger| {
            ledger.count += 1;
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
    // R3: even if the server was killed between the commit and the response.
    for token in &ledger.alive {
        let body = json!({ "refresh_token": token });
        let refreshed = client.post("/api/v1/auth/refresh", None, &body).expect("a response");
        assert_eq!(refreshed.status, 200, "an acknowledged session is lost: {refreshed:?}");
    }
    // R4
    for token in &ledger.ended {
        let body = json!({ "refresh_token": token });
        let refused = client.post("/api/v1/auth/refresh", None, &body).expect("a response");
        assert_eq!(text(&refused.body, "/code"), "session-revoked", "{refused:?}");
    }
}

fn assert_sound(database: &Path) {
    let url = format!("sqlite://{}", database.display());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be started");
    let found: String = runtime.block_on(async {
        let pool = sqlx::SqlitePool::connect(&url).await.expect("the database opens");
        sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&pool).await.expect("a result")
    });
    assert_eq!(found, "ok");
}

fn text(body: &Value, place: &str) -> String {
    let found = body.pointer(place).and_then(Value::as_str);
    found.unwrap_or_else(|| panic!("{place} is missing in {body}")).to_owned()
}
