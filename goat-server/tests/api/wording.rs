//! Texts of problem documents: each says how to correct the request.

use goat_core::Status;
use serde_json::{Value, json};

use crate::support::app::{PASSWORD, TestApp, TestResponse, TestUser};

/// The text of a problem in one line: each field with its message, or else the detail.
fn text_of(response: &TestResponse) -> String {
    let Some(errors) = response.json["errors"].as_array() else {
        return response.json["detail"].as_str().unwrap_or("no problem").to_owned();
    };
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let errors =
        errors.iter().map(|error| [&error["field"], &error["message"]].map(text).join(" "));
    errors.collect::<Vec<_>>().join("; ")
}

/// Sends a request as a user, and returns the text of the problem.
async fn send(app: &TestApp, user: &TestUser, line: &str, body: &Value) -> String {
    let (method, path) = line.split_once(' ').expect("a method and a path");
    let request = app.request(method.parse().expect("a method"), path).bearer(&user.token);
    let response =
        if body.is_null() { request.send().await } else { request.json(body).send().await };
    assert!(response.status >= 400, "{line} {body}: {}", response.json);
    text_of(&response)
}

#[tokio::test]
async fn invalid_address_names_the_rule() {
    const LOCAL: &str = "email must contain only ASCII letters, digits, single dots and \
                         !#$%&'*+-/=?^_`{|}~ before the @";
    const DOMAIN: &str = "email must have a valid domain after the @";
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let long = format!("{}@example.org", "x".repeat(254));
    let long_local = format!("{}@example.org", "x".repeat(65));
    for (email, expected) in [
        ("", "email must not be empty"),
        ("  ", "email must not be empty"),
        ("ann", "email must have the form name@domain"),
        ("@example.org", "email must have 1 to 64 characters before the @"),
        (long_local.as_str(), "email must have 1 to 64 characters before the @"),
        (long.as_str(), "email must be at most 254 bytes long"),
        ("änn@example.org", LOCAL),
        ("ann ann@example.org", LOCAL),
        ("ann..ann@example.org", LOCAL),
        ("\"ann\"@example.org", LOCAL),
        ("ann@ann@example.org", LOCAL),
        ("ann@", DOMAIN),
        ("ann@example..org", DOMAIN),
        ("ann@-example.org", DOMAIN),
        ("ann@[192.0.2.1]", DOMAIN),
        ("ann@exa mple.org", DOMAIN),
    ] {
        let body = json!({"email": email, "password": PASSWORD});
        assert_eq!(send(&app, &admin, "POST /api/v1/user", &body).await, expected, "{email}");
    }
}

#[tokio::test]
async fn invalid_password_names_the_rule() {
    const COMMON: &str = "password must not be a common password or a repetition of one";
    const EMAIL: &str = "password must not be based on the e-mail address";
    const SHORT: &str = "password must have at least 15 characters";
    const NUL: &str = "password must not contain U+0000; control, invisible and unassigned characters are not allowed";
    const INVISIBLE: &str = "password must not contain U+200B; control, invisible and unassigned characters are not allowed";
    const DOT: &str = "password must not contain U+00B7 (\u{b7}) in this context";
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let long = "qx7 lamps ".repeat(26);
    for (password, expected) in [
        ("", SHORT),
        ("qx7 lamps", SHORT),
        (long.as_str(), "password must have at most 256 characters"),
        ("passwordpassword", COMMON),
        ("ann.ohara@example.org", EMAIL),
        ("ANN.OHARA@Example.Org", EMAIL),
        ("ann.oharaann.ohara", EMAIL),
        ("a long walk\u{0} on a short pier", NUL),
        ("a long walk\u{200b} on a short pier", INVISIBLE),
        ("a long walk \u{b7} a short pier", DOT),
    ] {
        let body = json!({"email": "ann.ohara@example.org", "password": password});
        assert_eq!(send(&app, &admin, "POST /api/v1/user", &body).await, expected, "{password:?}");
    }
    // 15 and 256 characters are allowed, of any script.
    for (name, password) in [("a", "ünï kødə lamps!".to_owned()), ("b", long[..256].to_owned())]
    {
        let body = json!({"email": format!("{name}@example.org"), "password": password});
        let response = app.post("/api/v1/user").bearer(&admin.token).json(&body).send().await;
        assert_eq!(response.status, 201, "{password}: {}", response.json);
    }
}

#[tokio::test]
async fn invalid_member_or_parameter_names_the_allowed_values() {
    const ULID: &str =
        "id must be a ULID: 26 characters of upper-case Crockford Base32, the first of them 0 to 7";
    const ACTION: &str = "action must be full_access, resource:verb or resource:*, with names of 1 \
                          to 64 characters of a-z, 0-9 and _";
    const ROLE: &str = "role must be one of client, operator, admin";
    const STATUS: &str = "status must be one of inactive, active, suspended";
    let app = TestApp::new().await;
    let (admin, client) = (app.admin().await, app.client().await);
    let path = client.path();
    let [put, role, status] = ["PUT {}", "PATCH {}/change-role", "PATCH {}/change-status"]
        .map(|l| l.replace("{}", &path));
    let (user, list, grant) =
        ("POST /api/v1/user", "GET /api/v1/user/list", "POST /api/v1/permission");
    let good = json!({"email": "ann@example.org", "password": PASSWORD});
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    let listed = |query: &str| format!("{list}?{query}");
    let none = Value::Null;
    for (line, body, expected) in [
        (user.to_owned(), json!({}), "email is required; password is required"),
        (user.to_owned(), with("password", none.clone()), "password must be a string"),
        (user.to_owned(), with("role", json!("King")), ROLE),
        (
            user.to_owned(),
            with("status", json!("suspended")),
            "status must be inactive or active for a new user",
        ),
        (
            user.to_owned(),
            with("Role", json!("admin")),
            "Role is unknown; expected one of email, password, role, status",
        ),
        (put, json!({}), "email or password is required"),
        (role.clone(), json!({}), "role is required"),
        (role, json!({"role": "king"}), ROLE),
        (status, json!({"status": "dead"}), STATUS),
        (grant.to_owned(), json!({"role": "client", "action": "Users:Read"}), ACTION),
        (
            grant.to_owned(),
            json!({"role": "client", "action": "full_access"}),
            "action can be full_access only for the role admin",
        ),
        ("GET /api/v1/user/1".to_owned(), none.clone(), ULID),
        (listed("page=0"), none.clone(), "page must be a whole number from 1 to 10000"),
        (listed("limit=101"), none.clone(), "limit must be a whole number from 1 to 100"),
        (
            listed("page=101&limit=100"),
            none.clone(),
            "page must not exceed 10000 when multiplied by limit",
        ),
        (listed("role=King"), none.clone(), ROLE),
        (listed("status=Active"), none.clone(), STATUS),
        (
            listed("sort=age"),
            none.clone(),
            "sort must be one of created_at, -created_at, email, -email, last_login_at, \
             -last_login_at",
        ),
        (
            listed("search="),
            none.clone(),
            "search must be 1 to 254 characters long, without control characters",
        ),
        (listed("search=%zz"), none.clone(), "search must be valid percent-encoded UTF-8"),
        (listed("sort=email&sort=email"), none.clone(), "sort must not be given more than once"),
        (
            format!("{list}?page=1&after={}", client.id),
            none.clone(),
            "page must not be combined with after",
        ),
        ("GET /api/v1/user?Page=1".to_owned(), none, "Page is unknown; remove it"),
    ] {
        assert_eq!(send(&app, &admin, &line, &body).await, expected, "{line}");
    }
}

#[tokio::test]
async fn rejection_names_the_alternative() {
    let app = TestApp::new().await;
    let (admin, operator, client) = (app.admin().await, app.operator().await, app.client().await);
    let late = app.add("late@example.org", "client", Status::Inactive).await;
    let own = admin.path();
    let of_client = client.path();
    let none = Value::Null;
    for (user, line, body, expected) in [
        (
            &admin,
            format!("PUT {own}"),
            json!({"email": "new@example.org"}),
            "To change your own account, use PATCH /api/v1/user/change-email or PATCH \
             /api/v1/user/change-password.",
        ),
        (
            &admin,
            format!("PATCH {own}/change-role"),
            json!({"role": "client"}),
            "You cannot change your own role. Ask another administrator.",
        ),
        (
            &admin,
            format!("PATCH {own}/change-status"),
            json!({"status": "suspended"}),
            "You cannot change your own status. Ask another administrator.",
        ),
        (
            &admin,
            format!("DELETE {own}"),
            none.clone(),
            "To delete your own account, use DELETE /api/v1/user.",
        ),
        (
            &admin,
            format!("DELETE {own}/sessions"),
            none.clone(),
            "To revoke your own sessions, use DELETE /api/v1/sessions.",
        ),
        (
            &operator,
            format!("GET {own}"),
            none.clone(),
            "You can manage only users whose role ranks below your own and has no permission that yours lacks.",
        ),
        (
            &client,
            "GET /api/v1/role".to_owned(),
            none.clone(),
            "Your role, or your API key, does not have the required permission. Ask an administrator.",
        ),
        (
            &admin,
            format!("PATCH /api/v1/user/{late}/change-status"),
            json!({"status": "suspended"}),
            "The status cannot change this way. Activate an inactive or suspended user, or suspend an \
             active one.",
        ),
        (
            &admin,
            "DELETE /api/v1/user".to_owned(),
            json!({"current_password": PASSWORD}),
            "This would leave no active administrator. Make another user an administrator first.",
        ),
        (
            &admin,
            "DELETE /api/v1/user".to_owned(),
            none.clone(),
            "The body must be JSON in UTF-8. Send it with `Content-Type: application/json`.",
        ),
        (
            &client,
            "PATCH /api/v1/user/change-email".to_owned(),
            json!({"email": "new@example.org", "current_password": "x"}),
            "The current password is wrong. Check it and try again.",
        ),
        (
            &client,
            "PATCH /api/v1/user/change-email".to_owned(),
            json!({"email": admin.email, "current_password": PASSWORD}),
            "Another account uses this e-mail address. Choose a different one.",
        ),
        (
            &client,
            "PATCH /api/v1/user/change-password".to_owned(),
            json!({"current_password": PASSWORD, "new_password": PASSWORD}),
            "The new password is the same as the current one. Choose a different one.",
        ),
        (
            &admin,
            "POST /api/v1/permission".to_owned(),
            json!({"role": "operator", "action": "user:read"}),
            "The role already has this permission.",
        ),
        (
            &client,
            format!("GET {of_client}/x"),
            none.clone(),
            "This path does not exist. Check the URL.",
        ),
        (
            &client,
            "PUT /api/v1/user".to_owned(),
            none,
            "This path does not support the method. See `Allow` for the supported ones.",
        ),
        (
            &client,
            "POST /api/v1/auth/login".to_owned(),
            json!({"email": "late@example.org", "password": PASSWORD}),
            "The account is not active yet. Ask an administrator to activate it.",
        ),
    ] {
        assert_eq!(send(&app, user, &line, &body).await, expected, "{line}");
    }
}
