//! Sign-up and login.

use goat_core::Status;
use serde_json::json;

use crate::replay::run::{Run, User};
use crate::support::app::PASSWORD;

const SIGN_UP: &str = "POST /api/v1/auth/signup";

pub(crate) async fn signup(run: &mut Run) {
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
        run.call(SIGN_UP).json(body).send().await;
    }
    for body in [
        json!({"email": "eve@example.org", "password": PASSWORD, "role": "admin"}),
        json!({"email": 7, "password": null}),
        json!({"password": PASSWORD}),
        json!([]),
    ] {
        run.call(SIGN_UP).json(body).send().await;
    }
    let ann = run.login("ann@EXAMPLE.org").await;
    run.get("/api/v1/user", &ann).await;
    run.try_login("carl.o'hara@example.org", "ünï kødə lamps!").await;
    run.try_login("eve@example.org", PASSWORD).await;
    let bob = run.login("BOB@bücher.example").await;
    run.get("/api/v1/user", &bob).await;
    run.get("/api/v1/user/list", &bob).await;
}

pub(crate) async fn login(run: &mut Run) {
    for (name, status) in
        [("ann", Status::Active), ("ida", Status::Inactive), ("sue", Status::Suspended)]
    {
        // Only an active account can be suspended.
        let first = if status == Status::Suspended { Status::Active } else { status };
        let id = run.app.add(&format!("{name}@example.org"), "client", first).await;
        if first != status {
            let system = goat_core::Actor::system("a scenario");
            run.app.goat.users().change_status(system, id, status).await.expect("it moves");
        }
        run.wait(1);
    }
    for name in ["ann", "ida", "sue", "unknown"] {
        for password in ["wrong", "", PASSWORD] {
            run.try_login(&format!("{name}@example.org"), password).await;
        }
    }
    run.try_login("not an address", PASSWORD).await;
    run.try_login("ann@example.org\u{0}", PASSWORD).await;
    run.wait(100);
    let body = json!({"email": "ann@example.org", "password": PASSWORD});
    let call = run.call("POST /api/v1/auth/login").from("2001:db8::7");
    let call = call.header("user-agent", &"a browser ".repeat(30)).json(body.clone());
    let phone = User::of(&call.send().await);
    run.get("/api/v1/user", &phone).await;
    run.get("/api/v1/sessions", &phone).await;
    let call = run.call("POST /api/v1/auth/login").header("x-request-id", "by-the-caller_1");
    call.json(body).send().await;
    let more = json!({"email": "ann@example.org", "password": PASSWORD, "remember": true});
    run.call("POST /api/v1/auth/login").json(more).send().await;
    run.call("POST /api/v1/auth/logout").by(&phone).send().await;
    run.get("/api/v1/user", &phone).await;
    run.call("POST /api/v1/auth/logout").by(&phone).send().await;
}
