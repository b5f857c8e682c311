//! E-mail addresses: canonical form, and characters that look alike.

use goat_core::{Quota, Status};
use serde_json::{Value, json};

use super::send;
use crate::backends::on_every_backend;
use crate::support::app::{PASSWORD, TestApp, TestResponse};
use crate::support::backend::Backend;

on_every_backend!(spellings_of_one_address_are_one_account_and_the_first_is_shown);

async fn spellings_of_one_address_are_one_account_and_the_first_is_shown(backend: Backend) {
    let app = TestApp::on(backend).await;
    let admin = app.admin().await;
    let new = |email: &str| json!({"email": email, "password": PASSWORD});
    let made = send(&app, &admin, "POST /api/v1/user", new("\t Ann.O'Hara@Bücher.Example ")).await;
    assert_eq!(made.data()["email"], "Ann.O'Hara@Bücher.Example");
    let bea = app.client().await;
    for spelling in [
        "ann.o'hara@bücher.example",
        "ANN.O'HARA@BÜCHER.EXAMPLE",
        "ann.o'hara@xn--bcher-kva.example",
        "ann.o'hara@XN--BCHER-KVA.example",
        "ann.o'hara@bu\u{308}cher.example",
        "ann.o'hara@bücher\u{3002}example",
    ] {
        let taken = send(&app, &admin, "POST /api/v1/user", new(spelling)).await;
        assert_eq!(taken.failure(), (409, "email-taken"), "{spelling}");
        let put = json!({"email": spelling});
        let taken = send(&app, &admin, &format!("PUT {}", bea.path()), put).await;
        assert_eq!(taken.failure(), (409, "email-taken"), "{spelling}");
        let body = json!({"email": spelling, "current_password": PASSWORD});
        let taken = send(&app, &bea, "PATCH /api/v1/user/change-email", body).await;
        assert_eq!(taken.failure(), (409, "email-taken"), "{spelling}");
        let login = app.post("/api/v1/auth/login").json(&new(spelling)).send().await;
        assert_eq!(login.data()["user"]["email"], "Ann.O'Hara@Bücher.Example", "{spelling}");
    }
    // Another case of the own address is no conflict.
    let body = json!({"email": "Client-1@Example.ORG", "current_password": PASSWORD});
    let changed = send(&app, &bea, "PATCH /api/v1/user/change-email", body).await;
    assert_eq!(changed.data()["email"], "Client-1@Example.ORG");
    let own = send(&app, &bea, "GET /api/v1/user", Value::Null).await;
    assert_eq!(own.data()["email"], "Client-1@Example.ORG");
}

/// B1, E3: an address that looks like another one is that address, or invalid.
#[tokio::test]
async fn look_alike_addresses_are_the_same_account_or_invalid() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let new = |email: &str| json!({"email": email, "password": PASSWORD});
    let sign_up =
        async |email: &str| app.post("/api/v1/auth/signup").json(&new(email)).send().await;
    let login = async |email: &str| app.post("/api/v1/auth/login").json(&new(email)).send().await;
    assert_eq!(sign_up("kiss@example.org").await.status, 201);
    // Case, surrounding spaces, full-width letters and compatible dots in the domain.
    for email in [
        "KISS@example.org",
        " kiss@EXAMPLE.ORG ",
        "kiss@ｅｘａｍｐｌｅ．ｏｒｇ",
        "Kiss@Example。org",
        "kiss@exam\u{ad}ple.org",
    ] {
        assert_eq!(sign_up(email).await.failure(), (409, "email-taken"), "{email}");
        assert_eq!(login(email).await.status, 200, "{email}");
    }
    // Dotted and long letters, the Kelvin sign, invisible characters, Cyrillic, and syntax.
    for email in [
        "kİss@example.org",
        "kiſs@example.org",
        "\u{212a}iss@example.org",
        "kıss@example.org",
        "kiss\u{200b}@example.org",
        "ki\u{ad}ss@example.org",
        "kіss@example.org",
        "kiss@example.org\u{0}",
        "kiss@example.org.",
        "kiss@example.org\r\nbcc: x@example.org",
        "\"kiss\"@example.org",
        "kiss(x)@example.org",
        "kiss@example.org,admin@example.org",
    ] {
        assert_eq!(sign_up(email).await.failure(), (400, "validation"), "{email:?}");
        assert_eq!(login(email).await.failure(), (401, "invalid-credentials"), "{email:?}");
        let created = send(&app, &admin, "POST /api/v1/user", new(email)).await;
        assert_eq!(created.failure(), (400, "validation"), "{email:?}");
    }
    let listed = send(&app, &admin, "GET /api/v1/user/list", Value::Null).await;
    assert_eq!(listed.json["meta"]["total"], 2);
}

/// E3: whatever is wrong with a request, the response does not repeat the address in it.
#[tokio::test]
async fn no_failure_echoes_an_address() {
    let app = TestApp::new().await;
    let (admin, operator, client) = (app.admin().await, app.operator().await, app.client().await);
    let taken = "canary-taken@example.org";
    app.add(taken, "admin", Status::Active).await;
    app.add("canary-late@example.org", "client", Status::Inactive).await;
    let with = |email: &str, password: &str| json!({"email": email, "password": password});
    let change =
        |email: &str, password: &str| json!({"email": email, "current_password": password});
    let (signup, login) = ("POST /api/v1/auth/signup", "POST /api/v1/auth/login");
    let (create, put) = ("POST /api/v1/user", format!("PUT {}", client.path()));
    let own = "PATCH /api/v1/user/change-email";
    let malformed = "canary at example.org";
    for (user, line, body, status) in [
        (None, signup, with(taken, PASSWORD), 409),
        (None, signup, with(malformed, PASSWORD), 400),
        (None, signup, with("canary@example.org", "canary@example.org"), 400),
        (None, login, with(malformed, PASSWORD), 401),
        (None, login, with("canary@example.org", PASSWORD), 401),
        (None, login, with("canary-late@example.org", PASSWORD), 403),
        (Some(&admin), create, with(taken, PASSWORD), 409),
        (Some(&admin), create, with(malformed, PASSWORD), 400),
        (Some(&admin), &put, json!({"email": taken}), 409),
        (Some(&admin), &put, json!({"email": malformed}), 400),
        (Some(&client), create, with("canary@example.org", PASSWORD), 403),
        (Some(&operator), &put, json!({"email": "canary@example.org", "role": "admin"}), 400),
        (Some(&client), own, change(malformed, PASSWORD), 400),
        (Some(&client), own, change("canary@example.org", "wrong"), 403),
        (Some(&admin), own, change(taken, PASSWORD), 409),
        (Some(&admin), "GET /api/v1/user/list?search=canary@example.org&page=0", Value::Null, 400),
    ] {
        let (method, path) = line.split_once(' ').expect("a method and a path");
        let mut request = app.request(method.parse().expect("a method"), path);
        if let Some(user) = user {
            request = request.bearer(&user.token);
        }
        if !body.is_null() {
            request = request.json(&body);
        }
        let response = request.send().await;
        assert_eq!(response.status, status, "{line} {body}: {}", response.json);
        assert_no_canary(&response, line);
    }
    let once = Some(Quota::per_minute(1));
    let by_address = TestApp::with(|setup| setup.limits.auth = once).await;
    let by_account = TestApp::with(|setup| setup.goat.account_quota = once).await;
    for (app, line) in [(&by_address, signup), (&by_address, login), (&by_account, login)] {
        let (_, path) = line.split_once(' ').expect("a method and a path");
        let post = || app.post(path).json(&with("canary@example.org", PASSWORD)).send();
        post().await;
        let response = post().await;
        assert_eq!(response.status, 429, "{path}");
        assert_no_canary(&response, path);
    }
}

fn assert_no_canary(response: &TestResponse, case: &str) {
    let text = format!("{:?} {}", response.headers, response.json).to_lowercase();
    assert!(!text.contains("canary"), "{case}: {text}");
}

/// E3: a change of the address obeys the rules of sign-up.
#[tokio::test]
async fn change_email_and_signup_agree_on_every_address() {
    let app = TestApp::new().await;
    let long = format!("{}@example.org", "x".repeat(243));
    for email in [
        "ann@example.org",
        " Ann.2@Example.org ",
        "ann+tag@example.org",
        "ann@bücher.example",
        "",
        "ann",
        "ann@",
        "@example.org",
        "ann@@example.org",
        "änn@example.org",
        "ann@example..org",
        "ann@[192.0.2.1]",
        "ann@exa mple.org",
        "ann@example.org\u{0}",
        long.as_str(),
    ] {
        let client = app.client().await;
        let body = json!({"email": email, "current_password": PASSWORD});
        let changed = send(&app, &client, "PATCH /api/v1/user/change-email", body).await;
        // Free again for the sign-up.
        let body = json!({"current_password": PASSWORD});
        assert_eq!(send(&app, &client, "DELETE /api/v1/user", body).await.status, 204);
        let body = json!({"email": email, "password": PASSWORD});
        let signed_up = app.post("/api/v1/auth/signup").json(&body).send().await;
        assert_eq!(changed.status == 200, signed_up.status == 201, "{email:?}");
        assert_eq!(changed.json["errors"], signed_up.json["errors"], "{email:?}");
        assert_eq!(changed.json["data"]["email"], signed_up.json["data"]["email"], "{email:?}");
    }
}
