//! Sessions of one's own and of others.

use serde_json::json;

use crate::replay::play::{Person, Play, text};
use crate::support::app::PASSWORD;

const SESSIONS: &str = "/api/v1/sessions";

async fn device(play: &mut Play, name: &str, from: &str) -> Person {
    let body = json!({"email": "ann@example.org", "password": PASSWORD});
    let call = play.call("POST /api/v1/auth/login").header("user-agent", name).from(from);
    Person::of(&call.json(body).send().await)
}

pub(crate) async fn sessions_are_listed_and_ended(play: &mut Play) {
    let boss = play.member("boss", "admin").await;
    let bob = play.member("bob", "client").await;
    let mut ann = vec![play.member("ann", "client").await];
    for (name, from) in
        [("phone", "192.0.2.8"), ("tablet", "2001:db8::1"), ("", "192.0.2.9"), ("tv", "192.0.2.8")]
    {
        play.wait(30);
        ann.push(device(play, name, from).await);
    }
    let list = play.get(SESSIONS, &ann[4]).await;
    for query in ["?limit=2", "?limit=2&page=3", "?page=4&limit=2", "?limit=0", "?sort=id"] {
        play.get(&format!("{SESSIONS}{query}"), &ann[0]).await;
    }
    let ids: Vec<String> =
        list.data().as_array().expect("a list").iter().map(|one| text(&one["id"])).collect();
    let own = play.get(SESSIONS, &bob).await;
    let bobs = text(&own.data()[0]["id"]);
    // The newest comes first: the phone is the fourth, and the tablet the third.
    for id in [&ids[3], &ids[3], &bobs, "00000000000000000000000000", "nonsense"] {
        play.call(&format!("DELETE {SESSIONS}/{id}")).by(&ann[4]).send().await;
    }
    for (body, by) in [
        (json!({"session_ids": [ids[2], bobs]}), 4),
        (json!({"session_ids": [ids[2], ids[2]]}), 4),
        (json!({"session_ids": []}), 4),
        (json!({"others": true, "all": true}), 4),
        (json!({"others": false}), 4),
        (json!({}), 4),
    ] {
        play.send(&format!("DELETE {SESSIONS}"), &ann[by], body).await;
    }
    for person in &ann {
        play.get("/api/v1/user", person).await;
    }
    let path = format!("/api/v1/user/{}/sessions", bob.id);
    play.get(&path, &boss).await;
    play.get(&format!("/api/v1/user/{}/sessions?limit=1&page=2", ann[0].id), &boss).await;
    play.get(&path, &ann[4]).await;
    play.send(&format!("DELETE {SESSIONS}"), &ann[4], json!({"others": true})).await;
    play.get("/api/v1/user", &ann[0]).await;
    play.get(SESSIONS, &ann[4]).await;
    play.call(&format!("DELETE {path}")).by(&boss).send().await;
    play.call(&format!("DELETE {path}")).by(&boss).send().await;
    play.get(SESSIONS, &bob).await;
    play.send(&format!("DELETE {SESSIONS}"), &ann[4], json!({"all": true})).await;
    play.get(SESSIONS, &ann[4]).await;
    play.refresh(&ann[4].refresh).await;
}

pub(crate) async fn too_many_sessions_end_the_oldest(play: &mut Play) {
    let mut people = vec![play.member("ann", "client").await];
    for number in 1..6 {
        play.wait(5);
        people.push(play.login("ann@example.org").await);
        play.get(SESSIONS, &people[number]).await;
        if number == 2 {
            // What was refreshed is no younger for it.
            people[0] = people[0].refreshed(&play.refresh(&people[0].refresh).await);
        }
    }
    for person in &people {
        play.get("/api/v1/user", person).await;
        play.refresh(&person.refresh).await;
    }
    play.call("POST /api/v1/auth/logout").by(&people[4]).send().await;
    let another = play.login("ann@example.org").await;
    play.get(SESSIONS, &another).await;
    play.get("/api/v1/user", &people[3]).await;
}
