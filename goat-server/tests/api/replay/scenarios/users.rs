//! User administration, the user list, and the own account.

use goat_core::Status;
use serde_json::json;

use crate::replay::run::{Run, text};
use crate::support::app::PASSWORD;

const USER: &str = "/api/v1/user";
const OTHER_PASSWORD: &str = "seven lamps over the quay";

pub(crate) async fn user_administration(run: &mut Run) {
    let boss = run.member("boss", "admin").await;
    let oli = run.member("oli", "operator").await;
    let create = format!("POST {USER}");
    let mut ids = Vec::new();
    for body in [
        json!({"email": "ann@example.org", "password": PASSWORD}),
        json!({"email": "bob@example.org", "password": PASSWORD, "role": "operator"}),
        json!({"email": "ida@example.org", "password": PASSWORD, "status": "inactive"}),
        json!({"email": "ANN@example.org", "password": PASSWORD}),
        json!({"email": "sue@example.org", "password": PASSWORD, "status": "suspended"}),
        json!({"email": "sue@example.org", "password": PASSWORD, "role": "emperor"}),
    ] {
        let response = run.send(&create, &boss, body).await;
        if response.status == 201 {
            ids.push(text(&response.data()["id"]));
        }
    }
    let body = json!({"email": "eve@example.org", "password": PASSWORD});
    run.send(&create, &oli, body).await;
    let ann = run.login("ann@example.org").await;
    run.wait(7);
    for (by, id, body) in [
        (&oli, &ids[0], json!({"email": "Ann.B@example.org"})),
        (&oli, &ids[1], json!({"email": "bobby@example.org"})),
        (&oli, &oli.id, json!({"email": "oliver@example.org"})),
        (&boss, &ids[0], json!({"email": "bob@example.org"})),
        (&boss, &ids[0], json!({})),
        (&boss, &ids[0], json!({"email": "ann.b@example.org", "password": OTHER_PASSWORD})),
        (&boss, &ids[0], json!({"password": "short", "email": "x"})),
    ] {
        run.send(&format!("PUT {USER}/{id}"), by, body).await;
    }
    run.get(USER, &ann).await;
    run.try_login("ann.b@example.org", PASSWORD).await;
    let again = run.try_login("ANN.b@example.org", OTHER_PASSWORD).await;
    assert_eq!(again.status, 200);
    for id in
        [&*ids[0], &ids[1], &boss.id, "00000000000000000000000000", "01kdvdna00grww3vtsm22p7mmd"]
    {
        run.get(&format!("{USER}/{id}"), &oli).await;
    }
    for (by, id) in [(&oli, &ids[0]), (&boss, &ids[0]), (&boss, &ids[0]), (&boss, &boss.id)] {
        run.call(&format!("DELETE {USER}/{id}")).by(by).send().await;
    }
    run.get(&format!("{USER}/{}", ids[0]), &boss).await;
    run.try_login("ann.b@example.org", OTHER_PASSWORD).await;
    // The address is free for another account.
    run.send(&create, &boss, json!({"email": "ann.b@example.org", "password": PASSWORD})).await;
    run.get(&format!("{USER}/list"), &boss).await;
}

pub(crate) async fn user_list(run: &mut Run) {
    let boss = run.member("boss", "admin").await;
    let mut ids = Vec::new();
    for (email, role, status) in [
        ("Zoe@example.org", "client", Status::Active),
        ("abe@EXAMPLE.net", "operator", Status::Active),
        ("a_b%c@sub.example.com", "client", Status::Inactive),
        ("ann@Bücher.example", "client", Status::Active),
        ("ann2@example.org", "admin", Status::Active),
        ("ANN3@example.org", "client", Status::Inactive),
    ] {
        run.wait(1);
        ids.push(run.app.add(email, role, status).await);
    }
    let oli = run.login("abe@example.net").await;
    run.login("zoe@example.org").await;
    for query in [
        "",
        "?sort=created_at",
        "?sort=email",
        "?sort=-email",
        "?sort=last_login_at",
        "?sort=-last_login_at",
        "?limit=2",
        "?limit=2&page=2",
        "?limit=3&page=3",
        "?limit=3&page=4",
        "?search=ann",
        "?search=AN",
        "?search=a_",
        "?search=a%25",
        "?search=a%5C",
        "?search=example.org",
        "?search=xn--b",
        "?search=b%C3%BCcher",
        "?search=xample",
        "?role=client",
        "?role=client&role=admin&status=active",
        "?status=inactive&sort=email&limit=1",
        "?search=",
        "?sort=password",
        "?role=emperor&status=dead&limit=101&page=0",
        "?unknown=1",
        "?limit=1&limit=2",
        "?after=nonsense",
    ] {
        run.get(&format!("{USER}/list{query}"), &boss).await;
        if query.len() < 8 {
            run.get(&format!("{USER}/list{query}"), &oli).await;
        }
    }
    for query in [
        format!("?after={}", ids[2]),
        format!("?after={}&limit=1", ids[4]),
        format!("?after={}&page=2", ids[4]),
        format!("?after={}&sort=email", ids[4]),
        format!("?after={}&role=client", ids[5]),
    ] {
        run.get(&format!("{USER}/list{query}"), &boss).await;
    }
}

pub(crate) async fn own_account(run: &mut Run) {
    let ann = run.member("ann", "client").await;
    let bob = run.member("bob", "client").await;
    let tablet = run.login("ann@example.org").await;
    let email = format!("PATCH {USER}/change-email");
    for body in [
        json!({"email": "bob@example.org", "current_password": PASSWORD}),
        json!({"email": "ann2@example.org", "current_password": "wrong"}),
        json!({"email": "Ann@Example.org", "current_password": PASSWORD}),
        json!({"email": "Ann@Example.org", "current_password": "wrong"}),
        json!({"email": "ann2@example.org", "current_password": PASSWORD}),
        json!({"email": "", "current_password": ""}),
    ] {
        run.wait(1);
        run.send(&email, &ann, body).await;
    }
    let attributes = format!("PATCH {USER}/attributes");
    for body in [
        json!({"locale": "de", "theme": ["dark", "ü"]}),
        json!({"locale": null, "plan": "pro"}),
        json!({"locale": {}, "theme": "x".repeat(5000)}),
        json!({"locale": null}),
        json!({}),
    ] {
        run.send(&attributes, &ann, body).await;
        run.get(USER, &ann).await;
    }
    run.try_login("ann@example.org", PASSWORD).await;
    let step_up = "POST /api/v1/auth/step-up";
    run.send(step_up, &ann, json!({"password": "wrong"})).await;
    let stepped_up = run.send(step_up, &ann, json!({"password": PASSWORD})).await;
    run.get(USER, &ann).await;
    run.refresh(&ann.refresh).await;
    let ann = ann.refreshed(&stepped_up);
    run.get("/api/v1/sessions", &ann).await;
    run.get("/api/v1/auth/verify?max_age=0", &ann).await;
    run.wait(1);
    run.get("/api/v1/auth/verify?max_age=0", &ann).await;
    run.get("/api/v1/auth/verify?assurance=multi", &ann).await;
    let password = format!("PATCH {USER}/change-password");
    for body in [
        json!({"current_password": "wrong", "new_password": OTHER_PASSWORD}),
        json!({"current_password": PASSWORD, "new_password": "short"}),
        json!({"current_password": PASSWORD, "new_password": PASSWORD}),
    ] {
        run.send(&password, &ann, body).await;
    }
    let body = json!({"current_password": PASSWORD, "new_password": OTHER_PASSWORD});
    let changed = ann.refreshed(&run.send(&password, &ann, body).await);
    run.get(USER, &tablet).await;
    run.refresh(&tablet.refresh).await;
    run.get(USER, &ann).await;
    run.get(USER, &changed).await;
    run.try_login("ann2@example.org", PASSWORD).await;
    run.try_login("ann2@example.org", OTHER_PASSWORD).await;
    let delete = format!("DELETE {USER}");
    run.send(&delete, &changed, json!({"current_password": PASSWORD})).await;
    run.send(&delete, &changed, json!({"current_password": OTHER_PASSWORD})).await;
    run.get(USER, &changed).await;
    run.refresh(&ann.refresh).await;
    run.refresh(&changed.refresh).await;
    run.try_login("ann2@example.org", OTHER_PASSWORD).await;
    let boss = run.member("boss", "admin").await;
    let attributes = format!("PATCH {USER}/{}/attributes", bob.id);
    run.send(&attributes, &bob, json!({"plan": "pro"})).await;
    run.send(&attributes, &boss, json!({"plan": "pro", "Plan": 1})).await;
    run.send(&attributes, &boss, json!({"plan": "pro", "seats": 5})).await;
    run.get(USER, &bob).await;
    run.send(&delete, &boss, json!({"current_password": PASSWORD})).await;
    run.get(USER, &bob).await;
}

pub(crate) async fn service_accounts(run: &mut Run) {
    let boss = run.member("boss", "admin").await;
    let oli = run.member("oli", "operator").await;
    let mut id = String::new();
    for (by, body) in [
        (&boss, json!({"name": "backup"})),
        (&boss, json!({"name": "Backup", "role": "operator"})),
        (&boss, json!({"name": "a b"})),
        (&boss, json!({"name": "robot", "role": "admin"})),
        (&oli, json!({"name": "other"})),
    ] {
        run.wait(1);
        let response = run.send(&format!("POST {USER}/service"), by, body).await;
        if id.is_empty() {
            id = text(&response.data()["id"]);
        }
    }
    run.try_login("backup@service.invalid", PASSWORD).await;
    let body = json!({"email": "new@service.invalid", "password": PASSWORD});
    run.send(&format!("POST {USER}"), &boss, body).await;
    for (line, body) in [
        (format!("POST {USER}/{id}/session"), json!({"method": "ldap"})),
        (format!("PUT {USER}/{id}"), json!({"password": OTHER_PASSWORD})),
        (format!("PATCH {USER}/{id}/change-role"), json!({"role": "operator"})),
        (format!("PATCH {USER}/{id}/change-status"), json!({"status": "suspended"})),
        (format!("DELETE {USER}"), json!({"current_password": PASSWORD})),
    ] {
        run.send(&line, &boss, body).await;
    }
    for query in ["", "&sort=email", "&sort=-last_login_at", "&search=ba", "&status=suspended"] {
        for kind in ["service", "person", "robot"] {
            run.get(&format!("{USER}/list?kind={kind}{query}"), &boss).await;
        }
    }
    run.call(&format!("DELETE {USER}/{id}")).by(&boss).send().await;
}
