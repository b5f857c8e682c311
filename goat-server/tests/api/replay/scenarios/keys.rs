//! API keys: of the current user, and of service accounts.

use serde_json::json;

use crate::replay::run::{Run, User, text};

const KEYS: &str = "/api/v1/keys";
const USER: &str = "/api/v1/user";

pub(crate) async fn own_keys(run: &mut Run) {
    let oli = run.member("oli", "operator").await;
    let carl = run.member("carl", "client").await;
    let create = format!("POST {KEYS}");
    let mut ids = Vec::new();
    for body in [
        json!({"name": "nightly", "scopes": ["user:update", "user:read"]}),
        json!({"name": "na\u{ef}ve \u{1f510}", "scopes": "*", "expires_in": 60}),
        json!({"name": "nothing", "scopes": []}),
        json!({"name": "one more", "scopes": "*"}),
        json!({"name": "", "scopes": ["user:delete", "report:read"], "expires_in": 99_999_999}),
        json!({"name": "a", "scopes": ["x"], "owner": "me"}),
    ] {
        run.wait(1);
        let response = run.send(&create, &oli, body).await;
        if response.status == 201 {
            ids.push(text(&response.data()["id"]));
        }
    }
    run.wait(100);
    for query in ["", "?limit=2", "?limit=2&page=2", "?limit=2&page=3", "?page=0", "?sort=name"] {
        run.get(&format!("{KEYS}{query}"), &oli).await;
    }
    run.get(KEYS, &carl).await;
    for (by, id) in [(&carl, &*ids[0]), (&oli, &ids[0]), (&oli, &ids[0]), (&oli, "x")] {
        run.call(&format!("DELETE {KEYS}/{id}")).by(by).send().await;
    }
    run.get(KEYS, &oli).await;
    run.wait(150);
    run.send(&create, &oli, json!({"name": "late", "scopes": "*"})).await;
    run.wait(100);
    run.get(KEYS, &oli).await;
}

/// Use, introspection and revocation of a key.
pub(crate) async fn use_of_keys(run: &mut Run) {
    const FORM: &str = "application/x-www-form-urlencoded";
    let boss = run.member("boss", "admin").await;
    let oli = run.member("oli", "operator").await;
    let body = json!({"name": "a key", "scopes": ["user:read"], "expires_in": 200});
    let created = run.send(&format!("POST {KEYS}"), &oli, body).await;
    let (id, key) = (text(&created.data()["id"]), text(&created.data()["key"]));
    let program = User { access: key.clone(), ..oli.clone() };
    let form = format!("token={key}");
    for revoked in [false, true] {
        for line in ["GET /api/v1/user", "GET /api/v1/user/list", "GET /api/v1/auth/verify"] {
            run.call(line).by(&program).send().await;
        }
        run.call(&format!("GET {KEYS}")).by(&program).send().await;
        run.call(&format!("DELETE {KEYS}/{id}")).by(&program).send().await;
        for by in [&boss, &oli, &program] {
            run.call("POST /api/v1/auth/introspect").by(by).text(FORM, &form).send().await;
        }
        if !revoked {
            run.call("POST /api/v1/auth/revoke").text(FORM, &form).send().await;
        }
    }
    run.get(KEYS, &oli).await;
    let body = json!({"name": "a short life", "scopes": "*", "expires_in": 60});
    let created = run.send(&format!("POST {KEYS}"), &oli, body).await;
    let program = User { access: text(&created.data()["key"]), ..oli.clone() };
    run.get(USER, &program).await;
    let body = json!({"role": "client"});
    run.send(&format!("PATCH {USER}/{}/change-role", oli.id), &boss, body).await;
    run.get(USER, &program).await;
    run.wait(60);
    run.get(USER, &program).await;
}

pub(crate) async fn keys_of_service_accounts(run: &mut Run) {
    let boss = run.member("boss", "admin").await;
    let oli = run.member("oli", "operator").await;
    let carl = run.member("carl", "client").await;
    let mut services = Vec::new();
    for (name, role) in [("backup", "client"), ("robot", "operator")] {
        let body = json!({"name": name, "role": role});
        let response = run.send(&format!("POST {USER}/service"), &boss, body).await;
        services.push(text(&response.data()["id"]));
    }
    let mut keys = Vec::new();
    for (by, owner) in [
        (&oli, &*services[0]),
        (&oli, &services[1]),
        (&boss, &services[1]),
        (&carl, &services[0]),
        (&oli, &oli.id),
        (&boss, &carl.id),
        (&oli, "00000000000000000000000000"),
    ] {
        for scopes in [json!("*"), json!(["user:read"])] {
            run.wait(1);
            let body = json!({"name": "a key", "scopes": scopes, "expires_in": 3600});
            let response = run.send(&format!("POST {USER}/{owner}/keys"), by, body).await;
            if response.status == 201 {
                keys.push(text(&response.data()["id"]));
            }
        }
    }
    for by in [&boss, &oli, &carl] {
        for owner in [&*services[0], &services[1], &oli.id] {
            run.get(&format!("{USER}/{owner}/keys?limit=1"), by).await;
            for key in &keys {
                run.call(&format!("DELETE {USER}/{owner}/keys/{key}")).by(by).send().await;
            }
        }
    }
    run.get(&format!("{USER}/{}/keys", services[0]), &boss).await;
    run.call(&format!("DELETE {USER}/{}", services[0])).by(&boss).send().await;
    run.get(&format!("{USER}/{}/keys", services[0]), &boss).await;
}
