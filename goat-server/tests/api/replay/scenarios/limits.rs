//! Limits, up to the refusal and past it, with all that headers say of them.

use goat_core::Status;
use serde_json::json;

use crate::replay::play::{Person, Play};
use crate::support::app::PASSWORD;

async fn attempt(play: &mut Play, from: &str, email: &str, password: &str) {
    let body = json!({"email": email, "password": password});
    play.call("POST /api/v1/auth/login").from(from).json(body).send().await;
}

pub(crate) async fn attempts_are_limited_by_address_and_account(play: &mut Play) {
    play.app.add("ann@example.org", "client", Status::Active).await;
    for number in 0..7 {
        attempt(play, "192.0.2.1", "ann@example.org", "wrong").await;
        play.wait(if number == 2 { 11 } else { 1 });
    }
    attempt(play, "192.0.2.1", "ann@example.org", PASSWORD).await;
    attempt(play, "192.0.2.2", "ann@example.org", PASSWORD).await;
    // One of a network of IPv6, and another of the same.
    for number in 0..7 {
        attempt(play, &format!("2001:db8::{number}"), "nobody@example.org", "wrong").await;
    }
    for _ in 0..6 {
        let body = json!({"email": "bob@example.org", "password": PASSWORD});
        play.call("POST /api/v1/auth/signup").from("192.0.2.1").json(body).send().await;
    }
    play.wait(42);
    attempt(play, "192.0.2.1", "ann@example.org", "wrong").await;
    attempt(play, "192.0.2.1", "ann@example.org", "wrong").await;
    play.wait(61);
    // Fifty for the account, from wherever.
    for number in 0..53 {
        let email = if number % 2 == 0 { "ann@example.org" } else { " ANN@example.org" };
        attempt(play, &format!("198.51.100.{number}"), email, "wrong").await;
    }
    attempt(play, "198.51.100.99", "ann@example.org", PASSWORD).await;
    attempt(play, "198.51.100.98", "bob@example.org", PASSWORD).await;
    play.wait(60);
    attempt(play, "198.51.100.97", "ann@example.org", PASSWORD).await;
}

pub(crate) async fn requests_are_limited_by_user_address_and_path(play: &mut Play) {
    let ann = play.member("ann", "client").await;
    let bob = play.member("bob", "client").await;
    let ask = async |play: &mut Play, line: &str, by: Option<&Person>, from: &str| {
        let call = play.call(line).from(from);
        let call = if let Some(by) = by { call.by(by) } else { call };
        call.send().await;
    };
    for number in 0..6 {
        ask(play, "GET /api/v1/user", Some(&ann), &format!("192.0.2.{number}")).await;
        play.wait(number);
    }
    ask(play, "GET /api/v1/auth/verify", Some(&bob), "192.0.2.50").await;
    for _ in 0..14 {
        ask(play, "GET /api/v1/sessions", None, "192.0.2.60").await;
    }
    ask(play, "GET /api/v1/user", Some(&bob), "192.0.2.60").await;
    for line in ["GET /nowhere", "GET /.well-known/jwks.json", "PUT /nowhere", "GET /nowhere"] {
        ask(play, line, None, "192.0.2.70").await;
    }
    for _ in 0..4 {
        play.refresh("nonsense").await;
    }
    ask(play, "GET /api/health", None, "192.0.2.70").await;
    play.wait(46);
    for number in 0..4 {
        ask(play, "GET /api/v1/user", Some(&ann), "192.0.2.80").await;
        play.wait(number);
    }
    // Passwords that are tried on oneself count with the account.
    let body = json!({"current_password": "wrong"});
    for _ in 0..3 {
        play.send("DELETE /api/v1/user", &bob, body.clone()).await;
    }
}
