//! Status, roles and permissions, while those whom they concern go on asking.

use serde_json::json;

use crate::replay::play::{Play, text};
use crate::support::app::PASSWORD;

const USER: &str = "/api/v1/user";

pub(crate) async fn users_are_let_in_and_shut_out(play: &mut Play) {
    let boss = play.member("boss", "admin").await;
    let oli = play.member("oli", "operator").await;
    let ann = play.member("ann", "client").await;
    let change = format!("PATCH {USER}/{}/change-status", ann.id);
    for (by, status) in [
        (&oli, "active"),
        (&oli, "inactive"),
        (&oli, "dead"),
        (&ann, "suspended"),
        (&oli, "suspended"),
        (&oli, "suspended"),
    ] {
        play.wait(3);
        play.send(&change, by, json!({"status": status})).await;
        play.get(USER, &ann).await;
    }
    play.refresh(&ann.refresh).await;
    play.try_login("ann@example.org", PASSWORD).await;
    play.send(&change, &oli, json!({"status": "active"})).await;
    play.get(USER, &ann).await;
    let ann = play.login("ann@example.org").await;
    play.get(USER, &ann).await;
    for (by, of) in [(&oli, &oli), (&oli, &boss), (&boss, &boss)] {
        let line = format!("PATCH {USER}/{}/change-status", of.id);
        play.send(&line, by, json!({"status": "suspended"})).await;
    }
    let line = format!("PATCH {USER}/{}/change-status", oli.id);
    play.send(&line, &boss, json!({"status": "suspended"})).await;
    play.get(&format!("{USER}/list"), &oli).await;
    play.get(&format!("{USER}/list?status=suspended"), &boss).await;
    let line = format!("PATCH {USER}/00000000000000000000000000/change-status");
    play.send(&line, &boss, json!({"status": "active"})).await;
}

pub(crate) async fn roles_change_under_way(play: &mut Play) {
    let boss = play.member("boss", "admin").await;
    let oli = play.member("oli", "operator").await;
    let ann = play.member("ann", "client").await;
    let change = format!("PATCH {USER}/{}/change-role", ann.id);
    for role in ["client", "operator", "admin", "operator", "client", "emperor"] {
        play.wait(2);
        play.send(&change, &boss, json!({"role": role})).await;
        play.get(USER, &ann).await;
        play.get(&format!("{USER}/list?limit=1"), &ann).await;
        play.get("/api/v1/role", &ann).await;
        play.get(&format!("{USER}/{}", oli.id), &ann).await;
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
        play.send(&line, by, json!({"role": role})).await;
    }
    // A new token says the new role too.
    let renewed = oli.refreshed(&play.refresh(&oli.refresh).await);
    play.get(USER, &renewed).await;
    play.get(USER, &boss).await;
}

pub(crate) async fn permissions_are_granted_and_taken_away(play: &mut Play) {
    const PERMISSION: &str = "/api/v1/permission";
    let boss = play.member("boss", "admin").await;
    let oli = play.member("oli", "operator").await;
    let ann = play.member("ann", "client").await;
    play.get("/api/v1/role", &boss).await;
    play.get(PERMISSION, &boss).await;
    play.get(PERMISSION, &oli).await;
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
        play.wait(1);
        let body = json!({"role": role, "action": action});
        let response = play.send(&format!("POST {PERMISSION}"), &boss, body).await;
        if response.status == 201 {
            granted.push(text(&response.data()["id"]));
        }
        play.get(USER, &ann).await;
        play.get("/api/v1/auth/verify?permission=report:write", &ann).await;
    }
    play.get(&format!("{USER}/list"), &ann).await;
    let body = json!({"email": "new@example.org", "password": PASSWORD});
    play.send(&format!("POST {USER}"), &oli, body).await;
    for query in ["?limit=3", "?limit=3&page=2", "?limit=3&page=9", "?role=client"] {
        play.get(&format!("{PERMISSION}{query}"), &boss).await;
    }
    for role in ["client", "operator", "admin", "emperor", "CLIENT"] {
        play.get(&format!("{PERMISSION}/{role}"), &boss).await;
    }
    for id in [&*granted[0], &granted[0], "00000000000000000000000000", "nonsense"] {
        play.call(&format!("DELETE {PERMISSION}/{id}")).by(&boss).send().await;
        play.get(&format!("{USER}/list"), &ann).await;
    }
    let admins = play.get(&format!("{PERMISSION}/admin"), &boss).await;
    let full = text(&admins.data()[0]["id"]);
    play.call(&format!("DELETE {PERMISSION}/{full}")).by(&boss).send().await;
    play.call(&format!("DELETE {PERMISSION}/{}", granted[1])).by(&oli).send().await;
    play.get("/api/v1/role", &boss).await;
}
