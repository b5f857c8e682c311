//! Users, by those who may, and by themselves.

use goat_core::Status;
use serde_json::json;

use crate::replay::play::{Play, text};
use crate::support::app::PASSWORD;

const USER: &str = "/api/v1/user";
const OTHER_PASSWORD: &str = "seven lamps over the quay";

pub(crate) async fn users_are_made_changed_and_deleted(play: &mut Play) {
    let boss = play.member("boss", "admin").await;
    let oli = play.member("oli", "operator").await;
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
        let response = play.send(&create, &boss, body).await;
        if response.status == 201 {
            ids.push(text(&response.data()["id"]));
        }
    }
    let body = json!({"email": "eve@example.org", "password": PASSWORD});
    play.send(&create, &oli, body).await;
    let ann = play.login("ann@example.org").await;
    play.wait(7);
    for (by, id, body) in [
        (&oli, &ids[0], json!({"email": "Ann.B@example.org"})),
        (&oli, &ids[1], json!({"email": "bobby@example.org"})),
        (&oli, &oli.id, json!({"email": "oliver@example.org"})),
        (&boss, &ids[0], json!({"email": "bob@example.org"})),
        (&boss, &ids[0], json!({})),
        (&boss, &ids[0], json!({"email": "ann.b@example.org", "password": OTHER_PASSWORD})),
        (&boss, &ids[0], json!({"password": "short", "email": "x"})),
    ] {
        play.send(&format!("PUT {USER}/{id}"), by, body).await;
    }
    play.get(USER, &ann).await;
    play.try_login("ann.b@example.org", PASSWORD).await;
    let again = play.try_login("ANN.b@example.org", OTHER_PASSWORD).await;
    assert_eq!(again.status, 200);
    for id in
        [&*ids[0], &ids[1], &boss.id, "00000000000000000000000000", "01kdvdna00grww3vtsm22p7mmd"]
    {
        play.get(&format!("{USER}/{id}"), &oli).await;
    }
    for (by, id) in [(&oli, &ids[0]), (&boss, &ids[0]), (&boss, &ids[0]), (&boss, &boss.id)] {
        play.call(&format!("DELETE {USER}/{id}")).by(by).send().await;
    }
    play.get(&format!("{USER}/{}", ids[0]), &boss).await;
    play.try_login("ann.b@example.org", OTHER_PASSWORD).await;
    // The address is free again, and whoever has it now is somebody else.
    play.send(&create, &boss, json!({"email": "ann.b@example.org", "password": PASSWORD})).await;
    play.get(&format!("{USER}/list"), &boss).await;
}

pub(crate) async fn users_are_searched_sorted_and_paged(play: &mut Play) {
    let boss = play.member("boss", "admin").await;
    let mut ids = Vec::new();
    for (email, role, status) in [
        ("Zoe@example.org", "client", Status::Active),
        ("abe@EXAMPLE.net", "operator", Status::Active),
        ("a_b%c@sub.example.com", "client", Status::Inactive),
        ("ann@Bücher.example", "client", Status::Active),
        ("ann2@example.org", "admin", Status::Active),
        ("ANN3@example.org", "client", Status::Inactive),
    ] {
        play.wait(1);
        ids.push(play.app.add(email, role, status).await);
    }
    let oli = play.login("abe@example.net").await;
    play.login("zoe@example.org").await;
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
        play.get(&format!("{USER}/list{query}"), &boss).await;
        if query.len() < 8 {
            play.get(&format!("{USER}/list{query}"), &oli).await;
        }
    }
    for query in [
        format!("?after={}", ids[2]),
        format!("?after={}&limit=1", ids[4]),
        format!("?after={}&page=2", ids[4]),
        format!("?after={}&sort=email", ids[4]),
        format!("?after={}&role=client", ids[5]),
    ] {
        play.get(&format!("{USER}/list{query}"), &boss).await;
    }
}

pub(crate) async fn people_change_themselves(play: &mut Play) {
    let ann = play.member("ann", "client").await;
    let bob = play.member("bob", "client").await;
    let tablet = play.login("ann@example.org").await;
    let email = format!("PATCH {USER}/change-email");
    for body in [
        json!({"email": "bob@example.org", "current_password": PASSWORD}),
        json!({"email": "ann2@example.org", "current_password": "wrong"}),
        json!({"email": "Ann@Example.org", "current_password": PASSWORD}),
        json!({"email": "Ann@Example.org", "current_password": "wrong"}),
        json!({"email": "ann2@example.org", "current_password": PASSWORD}),
        json!({"email": "", "current_password": ""}),
    ] {
        play.wait(1);
        play.send(&email, &ann, body).await;
    }
    play.try_login("ann@example.org", PASSWORD).await;
    let password = format!("PATCH {USER}/change-password");
    for body in [
        json!({"current_password": "wrong", "new_password": OTHER_PASSWORD}),
        json!({"current_password": PASSWORD, "new_password": "short"}),
        json!({"current_password": PASSWORD, "new_password": PASSWORD}),
        json!({"current_password": PASSWORD, "new_password": OTHER_PASSWORD}),
    ] {
        play.send(&password, &ann, body).await;
    }
    play.get(USER, &tablet).await;
    play.refresh(&tablet.refresh).await;
    play.get(USER, &ann).await;
    play.try_login("ann2@example.org", PASSWORD).await;
    play.try_login("ann2@example.org", OTHER_PASSWORD).await;
    let delete = format!("DELETE {USER}");
    play.send(&delete, &ann, json!({"current_password": PASSWORD})).await;
    play.send(&delete, &ann, json!({"current_password": OTHER_PASSWORD})).await;
    play.get(USER, &ann).await;
    play.refresh(&ann.refresh).await;
    play.try_login("ann2@example.org", OTHER_PASSWORD).await;
    let boss = play.member("boss", "admin").await;
    play.send(&delete, &boss, json!({"current_password": PASSWORD})).await;
    play.get(USER, &bob).await;
}
