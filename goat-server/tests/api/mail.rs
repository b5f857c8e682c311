//! The rules that the routes of mail share: enumeration, quotas, attempts, and the two forms of an answer.

use std::collections::BTreeSet;
use std::time::Duration;

use goat_core::user::{NewService, ServiceName};
use goat_core::{Actor, Quota, Signup, Status};
use goat_server::api::table;
use http::Method;
use serde_json::{Value, json};

use crate::backends::on_every_backend;
use crate::support::app::{PASSWORD, Setup, TestApp, TestRequest, TestResponse, TestUser};
use crate::support::backend::Backend;
use crate::support::mail::{by_code, by_link, with, wrong_code};

const SIGNUP: &str = "/api/v1/auth/signup";
const RECOVER: &str = "/api/v1/auth/recover";
const CODE: &str = "/api/v1/auth/code";
const CHANGE: &str = "/api/v1/user/change-email";
const CHALLENGE: &str = "01KDWMBY00C8X0F4ZCV7J3T9QH";
const NEW_PASSWORD: &str = "seven lamps over the quay";
const INVALID: (u16, &str) = (400, "invalid-challenge");

/// The routes that exist with mail alone, and those of one mode.
const ROUTES: [&str; 13] = [
    "POST /api/v1/auth/signup/confirm",
    "POST /api/v1/auth/recover",
    "POST /api/v1/auth/recover/confirm",
    "POST /api/v1/auth/verify-email/confirm",
    "POST /api/v1/auth/change-email/confirm",
    "POST /api/v1/auth/change-email/undo",
    "POST /api/v1/auth/code",
    "POST /api/v1/auth/code/confirm",
    "POST /api/v1/auth/invite/confirm",
    "POST /api/v1/user/verify-email",
    "POST /api/v1/user/invite",
    "POST /api/v1/user/{id}/invite",
    "POST /api/v1/user/{id}/recover",
];

/// The routes that take the answer to a letter in two forms, with their other members.
fn answered() -> [(&'static str, Value); 5] {
    [
        ("/api/v1/auth/signup/confirm", json!({"password": NEW_PASSWORD})),
        ("/api/v1/auth/recover/confirm", json!({"new_password": NEW_PASSWORD})),
        ("/api/v1/auth/verify-email/confirm", json!({})),
        ("/api/v1/auth/change-email/confirm", json!({})),
        ("/api/v1/auth/code/confirm", json!({})),
    ]
}

/// A request of each route that takes an address; `user` is signed in.
fn requests<'a>(app: &'a TestApp, user: &TestUser, email: &str) -> [TestRequest<'a>; 4] {
    let body = json!({"email": email});
    let change = with(&body, &json!({"current_password": PASSWORD}));
    [
        app.post(SIGNUP).json(&body),
        app.post(RECOVER).json(&body),
        app.post(CODE).json(&body),
        app.patch(CHANGE).bearer(&user.token).json(&change),
    ]
}

#[tokio::test]
async fn without_mail_no_route_of_mail_exists() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let client = app.client().await;
    let in_table: BTreeSet<_> =
        table().iter().map(|route| format!("{} {}", route.method(), route.path())).collect();
    for route in ROUTES {
        assert!(in_table.contains(route), "{route}");
        let (_, path) = route.split_once(' ').expect("a path");
        let path = path.replace("{id}", &client.id.to_string());
        for method in [Method::POST, Method::GET, Method::DELETE] {
            for request in [app.request(method.clone(), &path), app.post(&path).json(&json!({}))] {
                let response = request.bearer(&admin.token).send().await;
                assert_eq!(response.failure(), (404, "not-found"), "{method} {path}");
            }
        }
    }
    let body = json!({"email": "new@example.org", "current_password": PASSWORD});
    let changed = app.patch(CHANGE).bearer(&client.token).json(&body).send().await;
    assert_eq!((changed.status, &changed.data()["email"]), (200, &json!("new@example.org")));
}

/// The answer is by link or by code, and a wrong form of a token or code is a wrong answer.
#[tokio::test]
async fn an_answer_has_exactly_one_of_two_forms() {
    let app = TestApp::with_every_route().await;
    let user = app.client().await;
    for (path, others) in answered() {
        let send = async |answer: &Value| {
            let request = app.post(path).json(&with(&others, answer));
            // The one of the current user.
            let request =
                if path.contains("verify") { request.bearer(&user.token) } else { request };
            request.send().await
        };
        for (answer, fields) in [
            (json!({}), vec!["token"]),
            (json!({"token": "x", "code": "00000000"}), vec!["token"]),
            (json!({"token": "x", "challenge": CHALLENGE, "code": "x"}), vec!["token"]),
            (json!({"challenge": CHALLENGE}), vec!["code"]),
            (json!({"code": "00000000"}), vec!["challenge"]),
            (json!({"challenge": "x", "code": "00000000"}), vec!["challenge"]),
            (json!({"token": 5}), vec!["token"]),
            (json!({"token": null}), vec!["token"]),
            (json!({"challenge": CHALLENGE, "code": 5}), vec!["code"]),
        ] {
            let response = send(&answer).await;
            assert_eq!(response.failure(), (400, "validation"), "{path} {answer}");
            assert_eq!(response.fields(), fields, "{path} {answer}");
        }
        for answer in [
            json!({"token": ""}),
            json!({"token": "x"}),
            json!({"token": format!("{CHALLENGE}{}", "0".repeat(52))}),
            json!({"challenge": CHALLENGE, "code": "x"}),
            json!({"challenge": CHALLENGE, "code": "00000000"}),
        ] {
            assert_eq!(send(&answer).await.failure(), INVALID, "{path} {answer}");
        }
    }
}

/// The status, the headers and the form of the body, without the values that differ between any two requests.
fn seen(response: &TestResponse) -> (u16, Vec<(String, String)>, Value) {
    let differs = ["date", "x-request-id", "x-ratelimit-reset"];
    let headers = response.headers.iter().filter(|(name, _)| !differs.contains(&name.as_str()));
    let headers = headers.map(|(name, value)| {
        let text = value.to_str().expect("ASCII");
        // What is left of the limits by address and by user falls with each request.
        let text = text.split(";r=").next().expect("a part");
        let text = if name == "x-ratelimit-remaining" { "" } else { text };
        (name.to_string(), text.to_owned())
    });
    let mut body = response.json.clone();
    if let Some(challenge) = body["data"].get_mut("challenge") {
        assert_eq!(challenge.as_str().expect("an id").len(), 26);
        *challenge = json!("an id");
    }
    body["request_id"] = json!(null);
    (response.status, headers.collect(), body)
}

on_every_backend!(requests_look_alike_for_every_address);

/// M1: in status, headers and body, by every route that takes an address.
async fn requests_look_alike_for_every_address(backend: Backend) {
    let app = TestApp::on_with(backend, Setup::every_route).await;
    let user = app.client().await;
    for (email, status) in [
        ("known@example.org", Status::Active),
        ("verified@example.org", Status::Active),
        ("inactive@example.org", Status::Inactive),
        ("suspended@example.org", Status::Active),
    ] {
        let id = app.add(email, "client", status).await;
        if email.starts_with("verified") {
            app.verify_email(id).await;
        }
        if email.starts_with("suspended") {
            app.edit(id, |account| account.user.status = Status::Suspended).await;
        }
    }
    let name = ServiceName::parse("backup").expect("a name");
    let role = app.goat.roles().get("client").expect("a role");
    let new = NewService { name, role };
    app.goat.users().create_service(Actor::system("a test"), new).await.expect("an account");
    let mut expected: Vec<_> = Vec::new();
    for request in requests(&app, &user, "unknown@example.org") {
        let response = request.send().await;
        assert_eq!(response.status, 202, "{}", response.json);
        expected.push(seen(&response));
    }
    for email in [
        "known@example.org",
        "KNOWN@Example.org",
        "verified@example.org",
        "inactive@example.org",
        "suspended@example.org",
    ] {
        for (request, expected) in requests(&app, &user, email).into_iter().zip(&expected) {
            assert_eq!(seen(&request.send().await), *expected, "{email}");
        }
    }
    // That of a service account receives no mail, or is invalid, whether or not the account exists.
    let mut of_services = Vec::new();
    for email in ["backup@service.invalid", "nobody@service.invalid"] {
        let mut all = Vec::new();
        for request in requests(&app, &user, email) {
            all.push(seen(&request.send().await));
        }
        of_services.push(all);
    }
    assert_eq!(of_services[0], of_services[1]);
    assert_eq!(of_services[0][1..3], expected[1..3], "recovery and sign-in");
}

/// M1, M6: a full queue refuses every address alike, before anything is stored.
#[tokio::test]
async fn a_full_queue_refuses_every_address_alike() {
    let app = TestApp::with_every_route().await;
    let (admin, user) = (app.admin().await, app.client().await);
    app.add("known@example.org", "client", Status::Active).await;
    app.letters.set_full(true);
    let mut all = Vec::new();
    for email in ["known@example.org", "unknown@example.org"] {
        for request in requests(&app, &user, email) {
            let response = request.send().await;
            assert_eq!(response.failure(), (503, "unavailable"), "{email}");
            assert_eq!(response.header("retry-after"), "30");
            all.push(seen(&response));
        }
    }
    assert_eq!(all[..4], all[4..]);
    for request in [
        app.post("/api/v1/user/invite").json(&json!({"email": "new@example.org"})),
        app.post(&format!("{}/recover", user.path())),
    ] {
        let response = request.bearer(&admin.token).send().await;
        assert_eq!(response.failure(), (503, "unavailable"));
    }
    let verify = app.post("/api/v1/user/verify-email").bearer(&user.token).send().await;
    assert_eq!(verify.failure(), (503, "unavailable"));
    app.letters.set_full(false);
    let found = app.get("/api/v1/user/list?search=new@example.org").bearer(&admin.token);
    assert_eq!(found.send().await.data(), &json!([]), "no user without a letter");
    assert!(app.letters.take().is_empty());
}

fn three_letters(setup: &mut Setup) {
    setup.every_route();
    setup.goat.mail_quota = Some(Quota::per_hour(3));
}

on_every_backend!(letters_to_one_address_are_bounded_over_all_routes);

/// M6: by any route, from any address of a client, in any spelling; known or not. B12: the limit is named
/// only where it refuses.
async fn letters_to_one_address_are_bounded_over_all_routes(backend: Backend) {
    let app = TestApp::on_with(backend, three_letters).await;
    let (admin, user) = (app.admin().await, app.client().await);
    app.add("known@example.org", "client", Status::Active).await;
    let mut refused = Vec::new();
    for email in ["known@example.org", "unknown@example.org"] {
        let upper = email.to_uppercase();
        let spellings = [email, &upper, &format!(" {email} "), email];
        let mut seen_so_far = Vec::new();
        for (number, spelling) in spellings.into_iter().enumerate() {
            let requests = requests(&app, &user, spelling);
            let request = requests.into_iter().nth(number).expect("a route");
            let response = request.from(&format!("198.51.100.{number}")).send().await;
            seen_so_far.push(response.status);
            assert_eq!(response.header("ratelimit").contains("\"mail\""), response.status == 429);
            if response.status == 429 {
                assert_eq!(response.code(), "rate-limited");
                assert!(response.header("ratelimit").contains("\"mail\";r=0;t=3600"));
                assert!(response.header("ratelimit-policy").contains("\"mail\";q=3;w=3600"));
                assert_eq!(response.header("retry-after"), "3600");
            }
        }
        assert_eq!(seen_so_far, [202, 202, 202, 429], "{email}");
        for request in requests(&app, &user, &upper) {
            let response = request.from("203.0.113.200").send().await;
            assert_eq!(response.failure(), (429, "rate-limited"), "{email}");
            refused.push(seen(&response));
        }
    }
    assert_eq!(refused[..4], refused[4..], "known and unknown alike");
    // Administrators and users themselves send no more.
    let invite = app.post("/api/v1/user/invite").json(&json!({"email": "unknown@example.org"}));
    let invited = invite.bearer(&admin.token).send().await;
    assert_eq!(invited.failure(), (429, "rate-limited"));
    let known = app.sign_in("known@example.org", PASSWORD).await;
    let verify = app.post("/api/v1/user/verify-email").bearer(&known.token).send().await;
    assert_eq!(verify.failure(), (429, "rate-limited"));
    let recover = app.post(&format!("{}/recover", known.path())).bearer(&admin.token).send().await;
    assert_eq!(recover.failure(), (429, "rate-limited"));
    app.clock.advance(Duration::from_secs(3600));
    for request in requests(&app, &user, "known@example.org").into_iter().take(3) {
        assert_eq!(request.send().await.status, 202);
    }
}

/// A letter that was asked for.
struct Asked {
    /// The route that takes its answer, and the other members.
    path: &'static str,
    members: Value,
    sent: TestResponse,
    code: Value,
    link: Value,
}

/// Asks for letters to one user by each route with a typed code, and returns the requests' responses with the
/// routes and members of their answers.
async fn asked(app: &TestApp, user: &TestUser) -> Vec<Asked> {
    let email = json!({"email": user.email});
    let recover = app.post(RECOVER).json(&email).send().await;
    let reset = app.letter(&user.email, "reset-password").await;
    let code = app.post(CODE).json(&email).send().await;
    let sign_in = app.letter(&user.email, "sign-in-code").await;
    let [_, recovery, _, _, code_confirm] = answered();
    let asked = |(path, members), sent, letter| Asked {
        path,
        members,
        code: by_code(&sent, letter),
        link: by_link(letter),
        sent,
    };
    vec![asked(code_confirm, code, &sign_in), asked(recovery, recover, &reset)]
}

on_every_backend!(five_wrong_answers_end_a_challenge);

/// M4, by each route; a new challenge has attempts of its own, and gives none back to an older one. They do not
/// end the link, since a stranger can ask for the letter and knows the challenge.
async fn five_wrong_answers_end_a_challenge(backend: Backend) {
    let app = TestApp::on_with(backend, Setup::every_route).await;
    let user = app.client().await;
    app.verify_email(user.id).await;
    let post =
        async |path: &str, body: &Value| app.post(path).json(body).bearer(&user.token).send().await;
    for Asked { path, members, sent, code, .. } in asked(&app, &user).await {
        for _ in 0..5 {
            let wrong = with(&wrong_code(&sent), &members);
            assert_eq!(post(path, &wrong).await.failure(), INVALID, "{path}");
        }
        let newer = asked(&app, &user).await;
        assert_eq!(post(path, &with(&code, &members)).await.failure(), INVALID, "{path}");
        let newer = newer.into_iter().find(|other| other.path == path).expect("the same route");
        let right = post(path, &with(&newer.code, &members)).await;
        assert_eq!(right.status, 200, "{path}: {}", right.json);
    }
    // Those of a sign-up, for an address without an account.
    let sent = app.post(SIGNUP).json(&json!({"email": "new@example.org"})).send().await;
    let letter = app.letter("new@example.org", "confirm-sign-up").await;
    let path = "/api/v1/auth/signup/confirm";
    let password = json!({"password": PASSWORD});
    for _ in 0..5 {
        let wrong = with(&wrong_code(&sent), &password);
        assert_eq!(post(path, &wrong).await.failure(), INVALID);
    }
    let late = with(&by_code(&sent, &letter), &password);
    assert_eq!(post(path, &late).await.failure(), INVALID);
    let link = with(&by_link(&letter), &password);
    assert_eq!(post(path, &link).await.status, 201);
}

on_every_backend!(typed_codes_count_by_account_and_links_do_not);

/// M4, D2: over all challenges and with passwords; a link works while codes and passwords are throttled.
async fn typed_codes_count_by_account_and_links_do_not(backend: Backend) {
    let app = TestApp::on_with(backend, |setup| {
        setup.every_route();
        setup.goat.account_quota = Some(Quota::per_minute(6));
    })
    .await;
    let user = app.client().await;
    app.verify_email(user.id).await;
    app.clock.advance(Duration::from_secs(60));
    let all = asked(&app, &user).await;
    let mut number = 0;
    for Asked { path, members, sent, .. } in &all {
        for _ in 0..3 {
            number += 1;
            let body = with(&wrong_code(sent), members);
            let from = format!("198.51.100.{number}");
            let wrong = app.post(path).json(&body).from(&from).send().await;
            assert_eq!(wrong.failure(), INVALID, "{path}");
            assert!(!wrong.header("ratelimit").contains("account"), "B12");
        }
    }
    let login = json!({"email": user.email, "password": PASSWORD});
    let limited = app.post("/api/v1/auth/login").json(&login).send().await;
    assert_eq!(limited.failure(), (429, "rate-limited"), "with passwords");
    for Asked { path, members, sent, .. } in &all {
        let body = with(&wrong_code(sent), members);
        let limited = app.post(path).json(&body).from("203.0.113.9").send().await;
        assert_eq!(limited.failure(), (429, "rate-limited"), "{path}");
        assert!(limited.header("ratelimit").contains("\"account\""), "{path}");
    }
    for Asked { path, members, link, .. } in &all {
        let right = app.post(path).json(&with(link, members)).send().await;
        assert_eq!(right.status, 200, "{path}: {}", right.json);
    }
}

/// By address, each public route of mail has a bucket of its own in `auth`.
#[tokio::test]
async fn every_public_route_of_mail_has_a_bucket_of_its_own() {
    let app = TestApp::with(|setup| {
        setup.every_route();
        setup.limits.auth = Some(Quota::per_minute(1));
    })
    .await;
    let public = ROUTES.into_iter().filter(|route| {
        let endpoint = table()
            .into_iter()
            .find(|other| *route == format!("{} {}", other.method(), other.path()));
        !endpoint.expect("a route").rule().is_protected()
    });
    let public: Vec<_> = public.map(|route| route.split_once(' ').expect("a path").1).collect();
    assert_eq!(public.len(), 8);
    for path in public {
        let first = app.post(path).json(&json!({})).send().await;
        assert_eq!(first.failure(), (400, "validation"), "{path}");
        assert!(first.header("ratelimit").contains("\"auth\";r=0"), "{path}");
        let second = app.post(path).json(&json!({})).send().await;
        assert_eq!(second.failure(), (429, "rate-limited"), "{path}");
    }
}

/// Sign-up with a password at once works beside mail.
#[tokio::test]
async fn mail_leaves_the_other_modes_of_sign_up_as_they_are() {
    for (signup, status) in [(Signup::Active, 201), (Signup::Inactive, 201), (Signup::Closed, 404)]
    {
        let app = TestApp::with(|setup| {
            setup.mail = true;
            setup.goat.signup = signup;
        })
        .await;
        let body = json!({"email": "ann@example.org", "password": PASSWORD});
        let response = app.post(SIGNUP).json(&body).send().await;
        assert_eq!(response.status, status, "{signup:?}");
    }
}
