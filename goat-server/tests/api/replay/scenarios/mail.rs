//! Mail: confirmed sign-up, recovery, sign-in, changes of addresses, and invitations.

use goat_core::UserId;
use goat_core::factor::FactorKind;
use goat_core::testing::TestFactors;
use serde_json::{Value, json};

use crate::replay::run::{Run, User, text};
use crate::support::app::PASSWORD;

const NEW_PASSWORD: &str = "seven lamps over the quay";
const USER: &str = "/api/v1/user";
const CHANGE: &str = "PATCH /api/v1/user/change-email";
/// Of no challenge.
const TOKEN: &str =
    "01KDWMBY00C8X0F4ZCV7J3T9QH0000000000000000000000000000000000000000000000000000";

fn auth(path: &str) -> String {
    format!("POST /api/v1/auth/{path}")
}

async fn post(run: &mut Run, path: &str, body: Value) {
    run.call(&auth(path)).json(body).send().await;
}

/// Verifies a user's address, past the API.
async fn verify(run: &Run, user: &User) {
    run.app.verify_email(UserId::parse(&user.id).expect("an id")).await;
}

pub(crate) async fn confirmed_signup(run: &mut Run) {
    let ann = "ann@example.org";
    for body in [
        json!({"email": " Ann@Example.org "}),
        json!({"email": ann, "password": PASSWORD}),
        json!({"email": "ann", "attributes": {}}),
        json!({"email": "backup@service.invalid"}),
        json!({}),
    ] {
        post(run, "signup", body).await;
    }
    let token = run.link("Ann@Example.org", "confirm-sign-up").await;
    run.try_login(ann, PASSWORD).await;
    for body in [
        json!({"token": token, "password": "short"}),
        json!({"token": token, "password": "ann@example.org"}),
        json!({"token": token, "challenge": &token[..26], "password": PASSWORD}),
        json!({"challenge": &token[..26], "code": "00000000", "password": PASSWORD}),
        json!({"token": TOKEN, "password": PASSWORD}),
        json!({"token": token, "password": PASSWORD}),
        json!({"token": token, "password": PASSWORD}),
    ] {
        post(run, "signup/confirm", body).await;
    }
    let user = run.login(ann).await;
    run.get(USER, &user).await;
    post(run, "signup", json!({"email": ann})).await;
    run.app.letter("Ann@Example.org", "account-exists").await;
}

pub(crate) async fn recovery_and_sign_in(run: &mut Run) {
    let ann = run.member("ann", "client").await;
    let email = "ann@example.org";
    for email in [email, "unknown@example.org", "no address"] {
        post(run, "recover", json!({"email": email})).await;
        post(run, "code", json!({"email": email})).await;
    }
    let token = run.link(email, "reset-password").await;
    for (token, password) in
        [(TOKEN, NEW_PASSWORD), (&*token, "short"), (&token, NEW_PASSWORD), (&token, NEW_PASSWORD)]
    {
        let body = json!({"token": token, "new_password": password});
        post(run, "recover/confirm", body).await;
    }
    run.get(USER, &ann).await;
    run.try_login(email, PASSWORD).await;
    run.try_login(email, NEW_PASSWORD).await;
    post(run, "code", json!({"email": email})).await;
    let token = run.link(email, "sign-in-code").await;
    for _ in 0..6 {
        post(run, "code/confirm", json!({"challenge": &token[..26], "code": "00000000"})).await;
    }
    post(run, "code/confirm", json!({"token": token})).await;
    post(run, "code", json!({"email": email})).await;
    let token = run.link(email, "sign-in-code").await;
    let body = json!({"token": token});
    let signed_in = run.call(&auth("code/confirm")).json(body.clone()).send().await;
    run.get("/api/v1/sessions", &User::of(&signed_in)).await;
    post(run, "code/confirm", body).await;
    run.enrol(&ann, FactorKind::Totp);
    post(run, "code", json!({"email": email})).await;
    let token = run.link(email, "sign-in-code").await;
    let held = run.call(&auth("code/confirm")).json(json!({"token": token})).send().await;
    let (challenge, secret) = (text(&held.json["challenge"]), text(&held.json["secret"]));
    let body = json!({"challenge": challenge, "secret": secret, "code": TestFactors::CODE});
    post(run, "login/confirm", body).await;
    post(run, "code", json!({"email": email})).await;
    let token = run.link(email, "sign-in-code").await;
    run.wait(600);
    post(run, "code/confirm", json!({"token": token})).await;
}

pub(crate) async fn addresses(run: &mut Run) {
    let (ann, bob) = (run.member("ann", "client").await, run.member("bob", "client").await);
    let ask = "POST /api/v1/user/verify-email";
    run.call(ask).by(&ann).send().await;
    let token = run.link("ann@example.org", "verify-email").await;
    let confirm = auth("verify-email/confirm");
    for (by, token) in [(&bob, &*token), (&ann, TOKEN), (&ann, &token), (&ann, &token)] {
        run.send(&confirm, by, json!({"token": token})).await;
    }
    run.call(ask).by(&ann).send().await;
    for body in [
        json!({"email": "new@example.org", "current_password": "wrong"}),
        json!({"email": "bob@example.org", "current_password": PASSWORD}),
        json!({"email": "ann@example.org"}),
        json!({"email": "new@example.org", "current_password": PASSWORD}),
    ] {
        run.send(CHANGE, &ann, body).await;
    }
    let token = run.link("new@example.org", "confirm-new-email").await;
    run.get(USER, &ann).await;
    for token in [TOKEN, &token, &token] {
        post(run, "change-email/confirm", json!({"token": token})).await;
    }
    run.get(USER, &ann).await;
    let token = run.link("ann@example.org", "email-changed").await;
    for body in [
        json!({"token": TOKEN}),
        json!({"token": token, "authenticator_code": "x", "recovery_code": "x"}),
        json!({"token": token}),
        json!({"token": token}),
    ] {
        post(run, "change-email/undo", body).await;
    }
    run.get(USER, &ann).await;
    run.try_login("ann@example.org", PASSWORD).await;
    let token = run.link("ann@example.org", "reset-password").await;
    post(run, "recover/confirm", json!({"token": token, "new_password": NEW_PASSWORD})).await;
    run.try_login("ann@example.org", NEW_PASSWORD).await;
    // Of an address that was not verified: without the way back.
    run.send(CHANGE, &bob, json!({"email": "rob@example.org"})).await;
    let token = run.link("rob@example.org", "confirm-new-email").await;
    post(run, "change-email/confirm", json!({"token": token})).await;
    verify(run, &bob).await;
    run.get(USER, &bob).await;
}

pub(crate) async fn invitations(run: &mut Run) {
    let boss = run.member("boss", "admin").await;
    let oli = run.member("oli", "operator").await;
    let invite = format!("POST {USER}/invite");
    for (by, body) in [
        (&oli, json!({"email": "ann@example.org"})),
        (&boss, json!({"email": "oli@example.org"})),
        (&boss, json!({"email": "ann@example.org", "role": "king"})),
        (&boss, json!({"email": "ann@example.org", "role": "operator"})),
    ] {
        run.send(&invite, by, body).await;
    }
    let listed = run.get(&format!("{USER}/list?search=ann"), &boss).await;
    let ann = text(&listed.data()[0]["id"]);
    let older = run.link("ann@example.org", "invitation").await;
    for by in [&oli, &boss] {
        run.call(&format!("POST {USER}/{ann}/invite")).by(by).send().await;
    }
    let token = run.link("ann@example.org", "invitation").await;
    for (token, password) in [
        (&*older, PASSWORD),
        (TOKEN, PASSWORD),
        (&*token, "short"),
        (&token, PASSWORD),
        (&token, PASSWORD),
    ] {
        post(run, "invite/confirm", json!({"token": token, "password": password})).await;
    }
    run.login("ann@example.org").await;
    run.call(&format!("POST {USER}/{ann}/invite")).by(&boss).send().await;
    for (by, id) in [(&oli, &*ann), (&boss, &ann), (&boss, &boss.id), (&boss, "x")] {
        run.call(&format!("POST {USER}/{id}/recover")).by(by).send().await;
    }
    let token = run.link("ann@example.org", "reset-password").await;
    post(run, "recover/confirm", json!({"token": token, "new_password": NEW_PASSWORD})).await;
    run.send(&format!("PUT {USER}/{ann}"), &boss, json!({"password": PASSWORD})).await;
    run.try_login("ann@example.org", NEW_PASSWORD).await;
}
