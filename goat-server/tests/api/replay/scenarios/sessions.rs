//! Own sessions and sessions of other users.

use serde_json::json;

use crate::replay::run::{Run, User, text};
use crate::support::app::PASSWORD;

const SESSIONS: &str = "/api/v1/sessions";

async fn device(run: &mut Run, name: &str, from: &str) -> User {
    let body = json!({"email": "ann@example.org", "password": PASSWORD});
    let call = run.call("POST /api/v1/auth/login").header("user-agent", name).from(from);
    User::of(&call.json(body).send().await)
}

pub(crate) async fn list_and_revoke_sessions(run: &mut Run) {
    let boss = run.member("boss", "admin").await;
    let bob = run.member("bob", "client").await;
    let mut ann = vec![run.member("ann", "client").await];
    for (name, from) in
        [("phone", "192.0.2.8"), ("tablet", "2001:db8::1"), ("", "192.0.2.9"), ("tv", "192.0.2.8")]
    {
        run.wait(30);
        ann.push(device(run, name, from).await);
    }
    let list = run.get(SESSIONS, &ann[4]).await;
    for query in ["?limit=2", "?limit=2&page=3", "?page=4&limit=2", "?limit=0", "?sort=id"] {
        run.get(&format!("{SESSIONS}{query}"), &ann[0]).await;
    }
    let ids: Vec<String> =
        list.data().as_array().expect("a list").iter().map(|one| text(&one["id"])).collect();
    let own = run.get(SESSIONS, &bob).await;
    let bobs = text(&own.data()[0]["id"]);
    // Newest first: the phone is the fourth, the tablet the third.
    for id in [&ids[3], &ids[3], &bobs, "00000000000000000000000000", "nonsense"] {
        run.call(&format!("DELETE {SESSIONS}/{id}")).by(&ann[4]).send().await;
    }
    for (body, by) in [
        (json!({"session_ids": [ids[2], bobs]}), 4),
        (json!({"session_ids": [ids[2], ids[2]]}), 4),
        (json!({"session_ids": []}), 4),
        (json!({"others": true, "all": true}), 4),
        (json!({"others": false}), 4),
        (json!({}), 4),
    ] {
        run.send(&format!("DELETE {SESSIONS}"), &ann[by], body).await;
    }
    for user in &ann {
        run.get("/api/v1/user", user).await;
    }
    let path = format!("/api/v1/user/{}/sessions", bob.id);
    run.get(&path, &boss).await;
    let open = format!("POST /api/v1/user/{}/session", bob.id);
    let by_smart_card = json!({"method": "smartcard", "assurance": "multi"});
    for (by, body) in
        [(&boss, by_smart_card.clone()), (&boss, json!({"method": "LDAP"})), (&bob, by_smart_card)]
    {
        run.send(&open, by, body).await;
    }
    run.get(&path, &boss).await;
    run.get(&format!("/api/v1/user/{}/sessions?limit=1&page=2", ann[0].id), &boss).await;
    run.get(&path, &ann[4]).await;
    run.send(&format!("DELETE {SESSIONS}"), &ann[4], json!({"others": true})).await;
    run.get("/api/v1/user", &ann[0]).await;
    run.get(SESSIONS, &ann[4]).await;
    run.call(&format!("DELETE {path}")).by(&boss).send().await;
    run.call(&format!("DELETE {path}")).by(&boss).send().await;
    run.get(SESSIONS, &bob).await;
    run.send(&format!("DELETE {SESSIONS}"), &ann[4], json!({"all": true})).await;
    run.get(SESSIONS, &ann[4]).await;
    run.refresh(&ann[4].refresh).await;
}

pub(crate) async fn session_limit(run: &mut Run) {
    let mut users = vec![run.member("ann", "client").await];
    for number in 1..6 {
        run.wait(5);
        users.push(run.login("ann@example.org").await);
        run.get(SESSIONS, &users[number]).await;
        if number == 2 {
            // A refresh does not change the order.
            users[0] = users[0].refreshed(&run.refresh(&users[0].refresh).await);
        }
    }
    for user in &users {
        run.get("/api/v1/user", user).await;
        run.refresh(&user.refresh).await;
    }
    run.call("POST /api/v1/auth/logout").by(&users[4]).send().await;
    let another = run.login("ann@example.org").await;
    run.get(SESSIONS, &another).await;
    run.get("/api/v1/user", &users[3]).await;
}
