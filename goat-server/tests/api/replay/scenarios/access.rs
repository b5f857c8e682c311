//! Changes of status, roles and permissions during sessions.

use serde_json::json;

use crate::replay::run::{Run, text};
use crate::support::app::PASSWORD;

const USER: &str = "/api/v1/user";

pub(crate) async fn status_changes(run: &mut Run) {
    let boss = run.member("boss", "admin").await;
    let oli = run.member("oli", "operator").await;
    let ann = run.member("ann", "client").await;
    let change = format!("PATCH {USER}/{}/change-status", ann.id);
    for (by, status) in [
        (&oli, "active"),
        (&oli, "inactive"),
        (&oli, "dead"),
        (&ann, "suspended"),
        (&oli, "suspended"),
        (&oli, "suspended"),
    ] {
        run.wait(3);
        run.send(&change, by, json!({"status": status})).await;
        run.get(USER, &ann).await;
    }
    run.refresh(&ann.refresh).await;
    run.try_login("ann@example.org", PASSWORD).await;
    run.send(&change, &oli, json!({"status": "active"})).await;
    run.get(USER, &ann).await;
    let ann = run.login("ann@example.org").await;
    run.get(USER, &ann).await;
    for (by, of) in [(&oli, &oli), (&oli, &boss), (&boss, &boss)] {
        let line = format!("PATCH {USER}/{}/change-status", of.id);
        run.send(&line, by, json!({"status": "suspended"})).await;
    }
    let line = format!("PATCH {USER}/{}/change-status", oli.id);
    run.send(&line, &boss, json!({"status": "suspended"})).await;
    run.get(&format!("{USER}/list"), &oli).await;
    run.get(&format!("{USER}/list?status=suspended"), &boss).await;
    let line = format!("PATCH {USER}/00000000000000000000000000/change-status");
    run.send(&line, &boss, json!({"status": "active"})).await;
}

pub(crate) async fn role_changes(run: &mut Run) {
    let boss = run.member("boss", "admin").await;
    let oli = run.member("oli", "operator").await;
    let ann = run.member("ann", "client").await;
    let change = format!("PATCH {USER}/{}/change-role", ann.id);
    for role in ["client", "operator", "admin", "operator", "client", "emperor"] {
        run.wait(2);
        run.send(&change, &boss, json!({"role": role})).await;
        run.get(USER, &ann).await;
        run.get(&format!("{USER}/list?limit=1"), &ann).await;
        run.get("/api/v1/role", &ann).await;
        run.get(&format!("{USER}/{}", oli.id), &ann).await;
    }
    for (by, of, role) in [
        (&oli, &ann, "operator"),
        (&ann, &oli, "client"),
        (&boss, &boss, "client"),
        (&boss, &oli, "admin"),
        (&oli, &ann, "admin"),
        (&oli, &boss, "client"),
        (&oli, &boss, "client"),
        (&boss, &oli, "client"),
    ] {
        let line = format!("PATCH {USER}/{}/change-role", of.id);
        run.send(&line, by, json!({"role": role})).await;
    }
    // A new token carries the new role.
    let renewed = oli.refreshed(&run.refresh(&oli.refresh).await);
    run.get(USER, &renewed).await;
    run.get(USER, &boss).await;
    // Meanwhile oli is the administrator.
    let role = json!({"name": "team-a", "rank": 300, "permissions": ["user:read", "book:*"]});
    for by in [&oli, &oli, &boss] {
        run.send("POST /api/v1/role", by, role.clone()).await;
    }
    run.send(&change, &oli, json!({"role": "team-a"})).await;
    run.get(USER, &ann).await;
    run.get(&format!("{USER}/list"), &ann).await;
    for rank in [50, 400, 400, 1000] {
        run.send("PATCH /api/v1/role/team-a", &oli, json!({"rank": rank})).await;
        run.get("/api/v1/role", &oli).await;
    }
    run.call("DELETE /api/v1/role/team-a").by(&oli).send().await;
    run.send(&change, &oli, json!({"role": "client"})).await;
    for name in ["team-a", "team-a", "client", "admin"] {
        run.call(&format!("DELETE /api/v1/role/{name}")).by(&oli).send().await;
        run.get(USER, &ann).await;
    }
}

pub(crate) async fn permissions(run: &mut Run) {
    const PERMISSION: &str = "/api/v1/permission";
    let boss = run.member("boss", "admin").await;
    let oli = run.member("oli", "operator").await;
    let ann = run.member("ann", "client").await;
    run.get("/api/v1/role", &boss).await;
    run.get(PERMISSION, &boss).await;
    run.get(PERMISSION, &oli).await;
    let mut granted = Vec::new();
    for (role, action) in [
        ("client", "user:read"),
        ("client", "user:read"),
        ("client", "report:*"),
        ("operator", "full_access"),
        ("emperor", "user:read"),
        ("client", "User:Read"),
        ("operator", "user:write"),
    ] {
        run.wait(1);
        let body = json!({"role": role, "action": action});
        let response = run.send(&format!("POST {PERMISSION}"), &boss, body).await;
        if response.status == 201 {
            granted.push(text(&response.data()["id"]));
        }
        run.get(USER, &ann).await;
        run.get("/api/v1/auth/verify?permission=report:write", &ann).await;
    }
    run.get(&format!("{USER}/list"), &ann).await;
    let body = json!({"email": "new@example.org", "password": PASSWORD});
    run.send(&format!("POST {USER}"), &oli, body).await;
    for query in ["?limit=3", "?limit=3&page=2", "?limit=3&page=9", "?role=client"] {
        run.get(&format!("{PERMISSION}{query}"), &boss).await;
    }
    for role in ["client", "operator", "admin", "emperor", "CLIENT"] {
        run.get(&format!("{PERMISSION}/{role}"), &boss).await;
    }
    for id in [&*granted[0], &granted[0], "00000000000000000000000000", "nonsense"] {
        run.call(&format!("DELETE {PERMISSION}/{id}")).by(&boss).send().await;
        run.get(&format!("{USER}/list"), &ann).await;
    }
    let admins = run.get(&format!("{PERMISSION}/admin"), &boss).await;
    let full = text(&admins.data()[0]["id"]);
    run.call(&format!("DELETE {PERMISSION}/{full}")).by(&boss).send().await;
    run.call(&format!("DELETE {PERMISSION}/{}", granted[1])).by(&oli).send().await;
    run.get("/api/v1/role", &boss).await;
}
