//! Rate limits with their headers, up to the limit and beyond.

use goat_core::Status;
use serde_json::json;

use crate::replay::run::{Run, User};
use crate::support::app::PASSWORD;

async fn attempt(run: &mut Run, from: &str, email: &str, password: &str) {
    let body = json!({"email": email, "password": password});
    run.call("POST /api/v1/auth/login").from(from).json(body).send().await;
}

pub(crate) async fn login_limits(run: &mut Run) {
    run.app.add("ann@example.org", "client", Status::Active).await;
    for number in 0..7 {
        attempt(run, "192.0.2.1", "ann@example.org", "wrong").await;
        run.wait(if number == 2 { 11 } else { 1 });
    }
    attempt(run, "192.0.2.1", "ann@example.org", PASSWORD).await;
    attempt(run, "192.0.2.2", "ann@example.org", PASSWORD).await;
    // Addresses of one IPv6 network, and networks of one /48.
    for number in 0..90 {
        let email = format!("unknown-{number}@example.org");
        attempt(run, &format!("2001:db8:7:{number:x}::1"), &email, "wrong").await;
    }
    for number in 0..7 {
        attempt(run, &format!("2001:db8::{number}"), "unknown@example.org", "wrong").await;
    }
    for _ in 0..6 {
        let body = json!({"email": "bob@example.org", "password": PASSWORD});
        run.call("POST /api/v1/auth/signup").from("192.0.2.1").json(body).send().await;
    }
    run.wait(42);
    attempt(run, "192.0.2.1", "ann@example.org", "wrong").await;
    attempt(run, "192.0.2.1", "ann@example.org", "wrong").await;
    run.wait(61);
    // The account limit of fifty, over many addresses.
    for number in 0..53 {
        let email = if number % 2 == 0 { "ann@example.org" } else { " ANN@example.org" };
        attempt(run, &format!("198.51.100.{number}"), email, "wrong").await;
    }
    attempt(run, "198.51.100.99", "ann@example.org", PASSWORD).await;
    attempt(run, "198.51.100.98", "bob@example.org", PASSWORD).await;
    run.wait(60);
    attempt(run, "198.51.100.97", "ann@example.org", PASSWORD).await;
}

pub(crate) async fn request_limits(run: &mut Run) {
    let ann = run.member("ann", "client").await;
    let bob = run.member("bob", "client").await;
    let ask = async |run: &mut Run, line: &str, by: Option<&User>, from: &str| {
        let call = run.call(line).from(from);
        let call = if let Some(by) = by { call.by(by) } else { call };
        call.send().await;
    };
    for number in 0..6 {
        ask(run, "GET /api/v1/user", Some(&ann), &format!("192.0.2.{number}")).await;
        run.wait(number);
    }
    ask(run, "GET /api/v1/auth/verify", Some(&bob), "192.0.2.50").await;
    for _ in 0..14 {
        ask(run, "GET /api/v1/sessions", None, "192.0.2.60").await;
    }
    ask(run, "GET /api/v1/user", Some(&bob), "192.0.2.60").await;
    for line in ["GET /nowhere", "GET /.well-known/jwks.json", "PUT /nowhere", "GET /nowhere"] {
        ask(run, line, None, "192.0.2.70").await;
    }
    for _ in 0..4 {
        run.refresh("nonsense").await;
    }
    ask(run, "GET /api/health", None, "192.0.2.70").await;
    run.wait(46);
    for number in 0..4 {
        ask(run, "GET /api/v1/user", Some(&ann), "192.0.2.80").await;
        run.wait(number);
    }
    // Checks of the current password count against the session.
    let body = json!({"current_password": "wrong"});
    for _ in 0..3 {
        run.send("DELETE /api/v1/user", &bob, body.clone()).await;
    }
}
