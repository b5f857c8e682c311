//! The rules that hold everywhere, over HTTP: rank, the last administrator, status moves, that a
//! change is in force when it is answered, e-mail addresses, and which answer wins.

use crate::support::app::{PASSWORD, TestApp, TestResponse, TestUser};
use crate::support::backend::{Backend, on_every_backend};
use goat_core::{Status, UserId};
use serde_json::{Value, json};

const NEW_PASSWORD: &str = "seven lamps over the quay";

/// Sends a line such as `PATCH /api/v1/user` as somebody; `null` is no body.
async fn send(app: &TestApp, user: &TestUser, line: &str, body: Value) -> TestResponse {
    let (method, path) = line.split_once(' ').expect("a method and a path");
    let request = app.request(method.parse().expect("a method"), path).bearer(&user.token);
    if body.is_null() { request.send().await } else { request.json(&body).send().await }
}

/// An app in which operators may do whatever can be done to users, within their rank.
async fn mighty_operators(backend: Backend) -> (TestApp, TestUser) {
    let app = TestApp::on(backend).await;
    let admin = app.admin().await;
    for action in ["user:write", "user:delete", "user:change_role"] {
        let body = json!({"role": "operator", "action": action});
        assert_eq!(send(&app, &admin, "POST /api/v1/permission", body).await.status, 201);
    }
    (app, admin)
}

/// Everything that one user may do to another.
fn acts_on(id: UserId) -> [(String, Value); 7] {
    let path = format!("/api/v1/user/{id}");
    [
        (format!("GET {path}"), Value::Null),
        (format!("GET {path}/sessions"), Value::Null),
        (format!("PUT {path}"), json!({"password": NEW_PASSWORD})),
        (format!("PATCH {path}/change-role"), json!({"role": "client"})),
        (format!("PATCH {path}/change-status"), json!({"status": "active"})),
        (format!("DELETE {path}/sessions"), Value::Null),
        (format!("DELETE {path}"), Value::Null),
    ]
}

on_every_backend!(nobody_acts_on_an_equal_or_a_superior_but_the_top_rank_acts_on_all);

/// A2
async fn nobody_acts_on_an_equal_or_a_superior_but_the_top_rank_acts_on_all(backend: Backend) {
    let (app, admin) = mighty_operators(backend).await;
    let operator = app.operator().await;
    for (target, expected) in
        [(app.operator().await, (403, "outranked")), (app.admin().await, (403, "outranked"))]
    {
        for (line, body) in acts_on(target.id) {
            let answer = send(&app, &operator, &line, body).await;
            assert_eq!(answer.failure(), expected, "{line}");
        }
        // Nothing has come of it.
        assert_eq!(app.get("/api/v1/user").bearer(&target.token).send().await.status, 200);
    }
    let (lower, peer) = (app.client().await, app.admin().await);
    for (actor, target) in [(&operator, lower.id), (&admin, peer.id)] {
        for (line, body) in acts_on(target) {
            let answer = send(&app, actor, &line, body).await;
            assert!((200..300).contains(&answer.status), "{line}: {}", answer.json);
        }
    }
}

on_every_backend!(a_role_is_given_only_by_those_who_could_act_on_it);

/// A2
async fn a_role_is_given_only_by_those_who_could_act_on_it(backend: Backend) {
    let (app, admin) = mighty_operators(backend).await;
    let operator = app.operator().await;
    let target = app.client().await;
    let line = format!("PATCH {}/change-role", target.path());
    for role in ["operator", "admin"] {
        let answer = send(&app, &operator, &line, json!({"role": role})).await;
        assert_eq!(answer.failure(), (403, "role-not-assignable"), "{role}");
        let body = json!({"email": "new@example.org", "password": PASSWORD, "role": role});
        let answer = send(&app, &operator, "POST /api/v1/user", body).await;
        assert_eq!(answer.failure(), (403, "role-not-assignable"), "{role}");
    }
    assert_eq!(send(&app, &operator, &line, json!({"role": "client"})).await.status, 200);
    for role in ["admin", "operator", "client"] {
        assert_eq!(send(&app, &admin, &line, json!({"role": role})).await.data()["role"], role);
    }
}

on_every_backend!(nobody_changes_their_own_role_or_status_or_themselves_by_put);

/// A2
async fn nobody_changes_their_own_role_or_status_or_themselves_by_put(backend: Backend) {
    let (app, admin) = mighty_operators(backend).await;
    app.admin().await;
    for user in [&admin, &app.operator().await] {
        for (line, body) in acts_on(user.id) {
            let answer = send(&app, user, &line, body).await;
            if line.starts_with("GET") {
                assert_eq!(answer.status, 200, "{line}: {}", answer.json);
            } else {
                assert_eq!(answer.failure(), (403, "outranked"), "{line}");
            }
        }
    }
}

on_every_backend!(the_last_administrator_stays_until_there_is_another);

/// A3
async fn the_last_administrator_stays_until_there_is_another(backend: Backend) {
    let app = TestApp::on(backend).await;
    let admin = app.admin().await;
    // Neither of these administers anything.
    app.add("late@example.org", "admin", Status::Inactive).await;
    app.operator().await;
    let body = json!({"current_password": PASSWORD});
    let answer = send(&app, &admin, "DELETE /api/v1/user", body.clone()).await;
    assert_eq!(answer.failure(), (409, "last-administrator"));
    // The password comes first: who does not know it learns nothing.
    let wrong = json!({"current_password": "wrong"});
    let answer = send(&app, &admin, "DELETE /api/v1/user", wrong).await;
    assert_eq!(answer.failure(), (403, "wrong-password"));
    let grants = send(&app, &admin, "GET /api/v1/permission/admin", Value::Null).await;
    let line =
        format!("DELETE /api/v1/permission/{}", grants.data()[0]["id"].as_str().expect("id"));
    let answer = send(&app, &admin, &line, Value::Null).await;
    assert_eq!(answer.failure(), (409, "last-administrator"));
    assert_eq!(send(&app, &admin, "GET /api/v1/user", Value::Null).await.status, 200);

    app.admin().await;
    assert_eq!(send(&app, &admin, "DELETE /api/v1/user", body).await.status, 204);
}

on_every_backend!(a_status_moves_along_its_path_and_the_same_again_changes_nothing);

async fn a_status_moves_along_its_path_and_the_same_again_changes_nothing(backend: Backend) {
    let app = TestApp::on(backend).await;
    let admin = app.admin().await;
    let target = app.add("late@example.org", "client", Status::Inactive).await;
    let line = format!("PATCH /api/v1/user/{target}/change-status");
    for (status, expected) in [
        ("inactive", 200),
        ("suspended", 409),
        ("active", 200),
        ("inactive", 409),
        ("active", 200),
        ("suspended", 200),
        ("inactive", 409),
        ("suspended", 200),
        ("active", 200),
    ] {
        let before = send(&app, &admin, &format!("GET /api/v1/user/{target}"), Value::Null).await;
        app.clock.advance(std::time::Duration::from_secs(1));
        let answer = send(&app, &admin, &line, json!({"status": status})).await;
        assert_eq!(answer.status, expected, "{status}: {}", answer.json);
        if expected == 409 {
            assert_eq!(answer.code(), "invalid-transition");
        } else if before.data()["status"] == status {
            assert_eq!(answer.json, before.json, "the same again");
        } else {
            assert_ne!(answer.data()["updated_at"], before.data()["updated_at"]);
        }
    }
    let line = format!("PATCH /api/v1/user/{target}/change-role");
    let before = send(&app, &admin, &format!("GET /api/v1/user/{target}"), Value::Null).await;
    app.clock.advance(std::time::Duration::from_secs(1));
    let answer = send(&app, &admin, &line, json!({"role": "client"})).await;
    assert_eq!(answer.json, before.json, "the same role again");
}

on_every_backend!(a_change_is_in_force_for_whoever_asks_next);

async fn a_change_is_in_force_for_whoever_asks_next(backend: Backend) {
    let app = TestApp::on(backend).await;
    let admin = app.admin().await;
    let asks = async |user: &TestUser| {
        let answer = app.get("/api/v1/user/list").bearer(&user.token).send().await;
        (answer.status, answer.code().to_owned())
    };
    let is = |status: u16, code: &str| (status, code.to_owned());
    let (revoked, lacking) = (is(401, "session-revoked"), is(403, "forbidden"));

    let user = app.client().await;
    let role = format!("PATCH {}/change-role", user.path());
    assert_eq!(asks(&user).await, lacking);
    send(&app, &admin, &role, json!({"role": "operator"})).await;
    assert_eq!(asks(&user).await, is(200, ""));
    send(&app, &admin, &role, json!({"role": "client"})).await;
    assert_eq!(asks(&user).await, lacking);

    let body = json!({"role": "client", "action": "user:*"});
    let granted = send(&app, &admin, "POST /api/v1/permission", body).await;
    assert_eq!(asks(&user).await, is(200, ""));
    let id = granted.data()["id"].as_str().expect("an id");
    send(&app, &admin, &format!("DELETE /api/v1/permission/{id}"), Value::Null).await;
    assert_eq!(asks(&user).await, lacking);

    let own = json!({"email": "moved@example.org"});
    assert_eq!(send(&app, &admin, &format!("PUT {}", user.path()), own).await.status, 200);
    assert_eq!(asks(&user).await, lacking, "another address ends no session");
    for (line, body) in [
        ("PUT {}", json!({"password": NEW_PASSWORD})),
        ("PATCH {}/change-status", json!({"status": "suspended"})),
        ("DELETE {}/sessions", Value::Null),
        ("DELETE {}", Value::Null),
    ] {
        let user = app.operator().await;
        assert_eq!(asks(&user).await, is(200, ""));
        let answer = send(&app, &admin, &line.replace("{}", &user.path()), body).await;
        assert!((200..300).contains(&answer.status), "{line}: {}", answer.json);
        assert_eq!(asks(&user).await, revoked, "{line}");
        let body = json!({"refresh_token": user.refresh_token});
        let answer = app.post("/api/v1/auth/refresh").json(&body).send().await;
        assert_eq!(answer.failure(), (401, "session-revoked"), "{line}");
    }
}

on_every_backend!(two_spellings_of_an_address_are_one_and_it_is_shown_as_it_was_given);

async fn two_spellings_of_an_address_are_one_and_it_is_shown_as_it_was_given(backend: Backend) {
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
    // One's own address in another case is no conflict.
    let body = json!({"email": "Client-1@Example.ORG", "current_password": PASSWORD});
    let changed = send(&app, &bea, "PATCH /api/v1/user/change-email", body).await;
    assert_eq!(changed.data()["email"], "Client-1@Example.ORG");
    let own = send(&app, &bea, "GET /api/v1/user", Value::Null).await;
    assert_eq!(own.data()["email"], "Client-1@Example.ORG");
}

/// From the outside in, each with everything that comes later wrong as well.
#[tokio::test]
async fn of_several_answers_the_first_of_the_contract_wins() {
    let (app, admin) = mighty_operators(Backend::Memory).await;
    let (operator, client) = (app.operator().await, app.client().await);
    let (known, unknown) = (admin.path(), "/api/v1/user/00000000000000000000000000");
    let role = |path: &str| format!("{path}/change-role");
    let king = r#"{"role": "king"}"#;
    let noble = r#"{"role": "admin"}"#;
    let json = "application/json";
    for (user, path, content_type, body, expected) in [
        (None, role("/api/v1/user/x"), "text/plain", "", (401, "unauthenticated")),
        (Some(&client), role("/api/v1/user/x"), "text/plain", "", (403, "forbidden")),
        (Some(&operator), role("/api/v1/user/x"), "text/plain", "", (400, "validation")),
        (Some(&operator), role(unknown) + "?x=1", "text/plain", "", (400, "validation")),
        (Some(&operator), role(unknown), "text/plain", "", (415, "unsupported-media-type")),
        (Some(&operator), role(unknown), json, "{", (400, "malformed-json")),
        (Some(&operator), role(unknown), json, king, (400, "validation")),
        (Some(&operator), role(unknown), json, noble, (404, "not-found")),
        (Some(&operator), role(&known), json, noble, (403, "outranked")),
        (Some(&operator), role(&client.path()), json, noble, (403, "role-not-assignable")),
    ] {
        let mut request = app.patch(&path).body(content_type, body);
        if let Some(user) = user {
            request = request.bearer(&user.token);
        }
        assert_eq!(request.send().await.failure(), expected, "{path} {body}");
    }
    // What the new password must be is said before the old one is tried; then the old one, and
    // then what stands against the new.
    let line = "PATCH /api/v1/user/change-password";
    for (current, new, expected) in [
        ("wrong", "short", (400, "validation")),
        ("wrong", PASSWORD, (403, "wrong-password")),
        (PASSWORD, PASSWORD, (409, "password-unchanged")),
    ] {
        let body = serde_json::json!({"current_password": current, "new_password": new});
        assert_eq!(send(&app, &client, line, body).await.failure(), expected);
    }
}
