//! Sign-up and sign-in.

use goat_core::Status;
use serde_json::json;

use crate::replay::play::{Person, Play};
use crate::support::app::PASSWORD;

const SIGN_UP: &str = "POST /api/v1/auth/signup";

pub(crate) async fn people_sign_up(play: &mut Play) {
    for (email, password) in [
        ("ann@example.org", PASSWORD),
        ("ann@example.org", PASSWORD),
        (" ANN@Example.Org ", PASSWORD),
        ("bob@Bücher.example", PASSWORD),
        ("bob@xn--bcher-kva.example", PASSWORD),
        ("Carl.O'Hara@example.org", "ünï kødə lamps!"),
        ("ann..b@example.org", "short"),
        ("dora@example.org", "passwordpassword"),
        ("dora@example.org", "dora@example.org"),
        ("", ""),
    ] {
        let body = json!({"email": email, "password": password});
        play.call(SIGN_UP).json(body).send().await;
    }
    for body in [
        json!({"email": "eve@example.org", "password": PASSWORD, "role": "admin"}),
        json!({"email": 7, "password": null}),
        json!({"password": PASSWORD}),
        json!([]),
    ] {
        play.call(SIGN_UP).json(body).send().await;
    }
    let ann = play.login("ann@EXAMPLE.org").await;
    play.get("/api/v1/user", &ann).await;
    play.try_login("carl.o'hara@example.org", "ünï kødə lamps!").await;
    play.try_login("eve@example.org", PASSWORD).await;
    let bob = play.login("BOB@bücher.example").await;
    play.get("/api/v1/user", &bob).await;
    play.get("/api/v1/user/list", &bob).await;
}

pub(crate) async fn people_sign_in_or_not(play: &mut Play) {
    for (name, status) in
        [("ann", Status::Active), ("ida", Status::Inactive), ("sue", Status::Suspended)]
    {
        // Suspended is only who was active before.
        let first = if status == Status::Suspended { Status::Active } else { status };
        let id = play.app.add(&format!("{name}@example.org"), "client", first).await;
        if first != status {
            let system = goat_core::Actor::system("a scenario");
            play.app.goat.users().change_status(system, id, status).await.expect("it moves");
        }
        play.wait(1);
    }
    for name in ["ann", "ida", "sue", "nobody"] {
        for password in ["wrong", "", PASSWORD] {
            play.try_login(&format!("{name}@example.org"), password).await;
        }
    }
    play.try_login("not an address", PASSWORD).await;
    play.try_login("ann@example.org\u{0}", PASSWORD).await;
    play.wait(100);
    let body = json!({"email": "ann@example.org", "password": PASSWORD});
    let call = play.call("POST /api/v1/auth/login").from("2001:db8::7");
    let call = call.header("user-agent", &"a browser ".repeat(30)).json(body.clone());
    let phone = Person::of(&call.send().await);
    play.get("/api/v1/user", &phone).await;
    play.get("/api/v1/sessions", &phone).await;
    let call = play.call("POST /api/v1/auth/login").header("x-request-id", "by-the-caller_1");
    call.json(body).send().await;
    let more = json!({"email": "ann@example.org", "password": PASSWORD, "remember": true});
    play.call("POST /api/v1/auth/login").json(more).send().await;
    play.call("POST /api/v1/auth/logout").by(&phone).send().await;
    play.get("/api/v1/user", &phone).await;
    play.call("POST /api/v1/auth/logout").by(&phone).send().await;
}
