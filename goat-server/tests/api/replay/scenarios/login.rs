//! Sign-up and login.

use goat_core::Status;
use goat_core::factor::FactorKind;
use goat_core::testing::TestFactors;
use serde_json::json;

use crate::replay::run::{Run, User, text};
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

pub(crate) async fn second_factor(run: &mut Run) {
    let ann = run.member("ann", "client").await;
    run.enrol(&ann, FactorKind::Totp);
    run.get("/api/v1/sessions", &ann).await;
    let hold = async |run: &mut Run| {
        let held = run.try_login("ann@example.org", PASSWORD).await;
        (text(&held.json["challenge"]), text(&held.json["secret"]))
    };
    let confirm = "POST /api/v1/auth/login/confirm";
    let (challenge, secret) = hold(run).await;
    for answer in ["wrong", TestFactors::CODE, TestFactors::CODE] {
        let body = json!({"challenge": challenge, "secret": secret, "code": answer});
        run.call(confirm).json(body).send().await;
    }
    let (challenge, secret) = hold(run).await;
    for _ in 0..6 {
        let body = json!({"challenge": challenge, "secret": secret, "recovery_code": "wrong"});
        run.call(confirm).json(body).send().await;
    }
    let (challenge, secret) = hold(run).await;
    run.wait(600);
    let body = json!({"challenge": challenge, "secret": secret, "code": TestFactors::CODE});
    run.call(confirm).json(body).send().await;
    let (challenge, secret) = hold(run).await;
    let (recovery, wrong) = (TestFactors::RECOVERY_CODE, "01KDWMBY00C8X0F4ZCV7J3T9QH");
    for (challenge, secret) in [(wrong, &secret), (&challenge, &wrong.to_owned())] {
        let body = json!({"challenge": challenge, "secret": secret, "code": TestFactors::CODE});
        run.call(confirm).json(body).send().await;
    }
    let body = json!({"challenge": challenge, "secret": secret, "recovery_code": recovery});
    let signed_in = User::of(&run.call(confirm).json(body).send().await);
    run.get("/api/v1/sessions", &signed_in).await;
    let step_up = "POST /api/v1/auth/step-up";
    run.send(step_up, &signed_in, json!({"code": "wrong"})).await;
    let stepped_up = run.send(step_up, &signed_in, json!({"code": TestFactors::CODE})).await;
    let stepped_up = signed_in.refreshed(&stepped_up);
    run.get("/api/v1/auth/verify?assurance=multi&max_age=1", &stepped_up).await;
}
