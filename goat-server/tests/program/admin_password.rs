//! The file `admin-password` exists as long as it has an administrator's password (L7).

use std::fs;

use serde_json::{Value, json};

use crate::support::process::{ADMIN, Client, Program, Response, Server, link_token};

const FILE: &str = "data/admin-password";
const NEW_PASSWORD: &str = "seven lamps over the quay";

/// A server after its first start.
struct Started {
    program: Program,
    server: Server,
    client: Client,
    /// The generated password.
    password: String,
}

fn start() -> Started {
    let program = Program::new().with("GOAT_RATE_LIMIT_AUTH", "off");
    let (server, address) = program.serve();
    let password = program.read(FILE).trim().to_owned();
    Started { program, server, client: Client::new(address), password }
}

impl Started {
    fn exists(&self) -> bool {
        self.program.path(FILE).exists()
    }

    /// The access token and the id of a user.
    fn sign_in(&self, email: &str, password: &str) -> (String, String) {
        let body = json!({"email": email, "password": password});
        let data = data(self.client.post("/api/v1/auth/login", None, &body));
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        (text(&data["access_token"]), text(&data["user"]["id"]))
    }

    /// Creates a second administrator, and returns its access token.
    fn second_administrator(&self) -> String {
        let user = ["user", "create", "--role", "admin", "second@example.org"];
        self.program.run_ok(&user, &format!("{NEW_PASSWORD}\n"));
        self.sign_in("second@example.org", NEW_PASSWORD).0
    }

    /// Waits for a letter, and returns the token of its link.
    fn token(&self, to: &str, name: &str) -> String {
        link_token(&self.program.path("data"), to, name)
    }

    fn call(&self, method: &str, path: &str, token: &str, body: &Value) {
        let body = (!body.is_null()).then_some(body);
        data(self.client.call(method, path, Some(token), body));
    }
}

fn data(response: Option<Response>) -> Value {
    let response = response.expect("a response");
    assert!((200..300).contains(&response.status), "{response:?}");
    response.body["data"].clone()
}

/// L7.
#[test]
fn change_by_the_administrator_removes_the_file() {
    let started = start();
    let (token, _) = started.sign_in(ADMIN, &started.password);
    // Under a new address too.
    let body = json!({"email": "root@example.org", "current_password": started.password});
    started.call("PATCH", "/api/v1/user/change-email", &token, &body);
    let answer = json!({"token": started.token("root@example.org", "confirm-new-email")});
    started.call("POST", "/api/v1/auth/change-email/confirm", &token, &answer);
    assert!(started.exists());
    let body = json!({"current_password": started.password, "new_password": NEW_PASSWORD});
    started.call("PATCH", "/api/v1/user/change-password", &token, &body);
    assert!(!started.exists());
    let log = started.server.stop();
    assert!(!log.iter().any(|line| line.contains(&started.password)), "{log:?}");
}

/// L7.
#[test]
fn recovery_by_another_administrator_removes_the_file() {
    let started = start();
    let (_, id) = started.sign_in(ADMIN, &started.password);
    let second = started.second_administrator();
    let path = format!("/api/v1/user/{id}");
    started.call("PUT", &path, &second, &json!({"email": "root@example.org"}));
    started.call("POST", &format!("{path}/recover"), &second, &Value::Null);
    let token = started.token("root@example.org", "reset-password");
    assert!(started.exists());
    let answer = json!({"token": token, "new_password": NEW_PASSWORD});
    started.call("POST", "/api/v1/auth/recover/confirm", &second, &answer);
    assert!(!started.exists());
}

/// L7: the undo of a changed address removes the password.
#[test]
fn undo_of_a_changed_address_removes_the_file() {
    let started = start();
    let (token, _) = started.sign_in(ADMIN, &started.password);
    started.call("POST", "/api/v1/user/verify-email", &token, &Value::Null);
    let answer = json!({"token": started.token(ADMIN, "verify-email")});
    started.call("POST", "/api/v1/auth/verify-email/confirm", &token, &answer);
    let body = json!({"email": "root@example.org", "current_password": started.password});
    started.call("PATCH", "/api/v1/user/change-email", &token, &body);
    let answer = json!({"token": started.token("root@example.org", "confirm-new-email")});
    started.call("POST", "/api/v1/auth/change-email/confirm", &token, &answer);
    assert!(started.exists());
    let answer = json!({"token": started.token(ADMIN, "email-changed")});
    started.call("POST", "/api/v1/auth/change-email/undo", &token, &answer);
    assert!(!started.exists());
}

/// L7: without mail, an administrator sets passwords.
#[test]
fn change_by_another_administrator_removes_the_file() {
    let first = Program::new();
    let (server, _) = first.serve();
    server.stop();
    let password = first.read(FILE).trim().to_owned();
    let program = first.into_production().without("GOAT_ADMIN_PASSWORD");
    let (server, address) = program.serve();
    let client = Client::new(address);
    let started = Started { program, server, client, password };
    let (_, id) = started.sign_in(ADMIN, &started.password);
    let second = started.second_administrator();
    let path = format!("/api/v1/user/{id}");
    started.call("PUT", &path, &second, &json!({"email": "root@example.org"}));
    assert!(started.exists());
    started.call("PUT", &path, &second, &json!({"password": NEW_PASSWORD}));
    assert!(!started.exists());
}

/// L7.
#[test]
fn deletion_removes_the_file() {
    let started = start();
    let (_, id) = started.sign_in(ADMIN, &started.password);
    let second = started.second_administrator();
    started.call("DELETE", &format!("/api/v1/user/{id}"), &second, &Value::Null);
    assert!(!started.exists());

    let started = start();
    let (token, _) = started.sign_in(ADMIN, &started.password);
    started.second_administrator();
    let body = json!({"current_password": started.password});
    started.call("DELETE", "/api/v1/user", &token, &body);
    assert!(!started.exists());
}

/// L7.
#[test]
fn reset_on_the_command_line_removes_the_file() {
    let started = start();
    started.second_administrator();
    let reset = |email| ["user", "reset-password", email];
    started.program.run_ok(&reset("second@example.org"), "another long password\n");
    assert!(started.exists(), "the password of another administrator");
    started.program.run_ok(&reset(ADMIN), &format!("{NEW_PASSWORD}\n"));
    assert!(!started.exists());
}

/// L7.
#[test]
fn password_of_another_user_leaves_the_file() {
    let started = start();
    let (admin, _) = started.sign_in(ADMIN, &started.password);
    let body = json!({"email": "ann@example.org", "password": NEW_PASSWORD});
    data(started.client.post("/api/v1/auth/signup", None, &body));
    let (token, id) = started.sign_in("ann@example.org", NEW_PASSWORD);
    let body = json!({"current_password": NEW_PASSWORD, "new_password": "another long password"});
    started.call("PATCH", "/api/v1/user/change-password", &token, &body);
    started.call("DELETE", &format!("/api/v1/user/{id}"), &admin, &Value::Null);
    assert!(started.exists());
}

/// L7: after a change by another process or a restore, and after a new hash of the same password.
#[test]
fn start_removes_a_file_that_is_no_longer_true() {
    let Started { program, server, password, .. } = start();
    server.stop();
    let program = program.with("GOAT_ARGON2_ITERATIONS", "3");
    let (server, address) = program.serve();
    let body = json!({"email": ADMIN, "password": password});
    data(Client::new(address).post("/api/v1/auth/login", None, &body));
    server.stop();
    program.serve().0.stop();
    assert_eq!(program.read(FILE).trim(), password, "the new hash is of the same password");

    fs::write(program.path(FILE), "this is not the password\n").expect("it is ours");
    let (server, _) = program.serve();
    assert!(!program.path(FILE).exists());
    server.stop();
}
