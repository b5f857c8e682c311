//! E-mail addresses: canonical form, and characters that look alike.

use serde_json::{Value, json};

use super::send;
use crate::backends::on_every_backend;
use crate::support::app::{PASSWORD, TestApp};
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
