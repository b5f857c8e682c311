//! L1, L2, L3: the log and the metrics contain no secrets, no forged lines, and a bounded number of
//! series.

use std::net::SocketAddr;
use std::path::Path;

use bytes::Bytes;
use goat_server::api::{Rule, table};
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};

use crate::harness::{ADMIN, Response, Server, UNLIMITED, folder};
use crate::support::process::{letters, link_token, token_of};

/// Part of every secret. Half of its letters are not in the alphabet of ULIDs, so that no random id
/// contains it.
const CANARY: &str = "quilox";
/// Part of every e-mail address except the administrator's.
const MAIL: &str = "mailcanary";
const ADMIN_PASSWORD: &str = "quilox first administrators";
const PASSWORD: &str = "quilox a long walk on a pier";

/// A valid body for the route.
fn body(method: &str, path: &str, user: &str, refresh: &str) -> Value {
    let email = format!("{MAIL}-{}-{user}@{MAIL}.example", path.len());
    match (method, path) {
        ("POST", "/api/v1/auth/signup") => json!({ "email": email, "password": PASSWORD }),
        ("POST", "/api/v1/auth/login") => {
            json!({ "email": format!("{user}@{MAIL}.example"), "password": PASSWORD })
        }
        ("POST", "/api/v1/auth/login/confirm") => {
            json!({ "challenge": "01KDWMBY00C8X0F4ZCV7J3T9QH", "secret": CANARY, "code": CANARY })
        }
        ("POST", "/api/v1/auth/recover" | "/api/v1/auth/code" | "/api/v1/user/invite") => {
            json!({ "email": email })
        }
        ("POST", "/api/v1/auth/recover/confirm") => {
            json!({ "token": CANARY, "new_password": PASSWORD })
        }
        ("POST", "/api/v1/auth/signup/confirm" | "/api/v1/auth/invite/confirm") => {
            json!({ "token": CANARY, "password": PASSWORD })
        }
        ("POST", "/api/v1/auth/change-email/undo") => {
            json!({ "token": CANARY, "recovery_code": CANARY })
        }
        ("POST", "/api/v1/auth/code/confirm")
        | ("POST", "/api/v1/auth/verify-email/confirm" | "/api/v1/auth/change-email/confirm") => {
            json!({ "challenge": "01KDWMBY00C8X0F4ZCV7J3T9QH", "code": CANARY })
        }
        ("POST", "/api/v1/auth/step-up") => json!({ "password": PASSWORD }),
        ("POST", "/api/v1/auth/refresh") => json!({ "refresh_token": refresh }),
        ("POST", "/api/v1/user") => json!({ "email": email, "password": PASSWORD }),
        ("POST", "/api/v1/user/service") => json!({ "name": format!("{user}-service") }),
        ("POST", "/api/v1/keys" | "/api/v1/user/{id}/keys") => {
            json!({ "name": "a key", "scopes": "*" })
        }
        // A text is a form.
        ("POST", "/api/v1/auth/introspect" | "/api/v1/auth/revoke") => {
            format!("token={refresh}&client_secret={CANARY}").into()
        }
        ("DELETE", "/api/v1/user") => json!({ "current_password": PASSWORD }),
        ("PATCH", "/api/v1/user/change-email") => {
            json!({ "email": email, "current_password": PASSWORD })
        }
        ("PATCH", "/api/v1/user/change-password") => {
            json!({ "current_password": PASSWORD, "new_password": format!("{PASSWORD} again") })
        }
        ("PUT", "/api/v1/user/{id}") => json!({ "email": email }),
        ("PATCH", "/api/v1/user/attributes") => json!({ "locale": CANARY }),
        ("PATCH", "/api/v1/user/{id}/attributes") => json!({ "plan": [CANARY] }),
        ("PATCH", "/api/v1/user/{id}/change-role") => json!({ "role": "operator" }),
        ("PATCH", "/api/v1/user/{id}/change-status") => json!({ "status": "suspended" }),
        ("POST", "/api/v1/user/{id}/session") => json!({ "method": "ldap" }),
        ("DELETE", "/api/v1/sessions") => json!({ "all": true }),
        ("POST", "/api/v1/role") => json!({ "name": "auditor", "rank": 150 }),
        ("PATCH", "/api/v1/role/{name}") => json!({ "rank": 160 }),
        ("POST", "/api/v1/permission") => json!({ "role": "client", "action": "report:read" }),
        ("POST", "/api/v1/auth/logout" | "/api/v1/user/verify-email")
        | ("POST", "/api/v1/user/{id}/invite" | "/api/v1/user/{id}/recover") => Value::Null,
        ("POST" | "PUT" | "PATCH", _) => panic!("{method} {path} wants a body here"),
        _ => Value::Null,
    }
}

/// The letters of a server, and its administrator's token.
struct Mail<'a> {
    server: &'a Server,
    data: &'a Path,
    admin: &'a str,
}

impl Mail<'_> {
    fn send(&self, (method, path): (&str, &str), token: &str, body: &Value) -> Response {
        let response = self.server.json(method, path, token, body);
        assert!((200..300).contains(&response.status), "{method} {path}: {response:?}");
        response
    }

    fn link(&self, to: &str, name: &str) -> Value {
        json!({ "token": link_token(self.data, to, name) })
    }

    /// Invites a user with an address like this one; returns the id.
    fn invite(&self, email: &str) -> String {
        let body = json!({ "email": format!("invited-{email}") });
        let invited = self.send(("POST", "/api/v1/user/invite"), self.admin, &body);
        invited.body["data"]["id"].as_str().expect("an id").to_owned()
    }

    fn verify(&self, email: &str, token: &str) -> Value {
        self.send(("POST", "/api/v1/user/verify-email"), token, &Value::Null);
        self.link(email, "verify-email")
    }

    /// Has a letter sent to a user, and returns the valid body of a route that answers it.
    fn answer(&self, template: &str, email: &str, token: &str) -> Option<Value> {
        let (post, body) = (|path| ("POST", path), json!({ "email": email }));
        let new = format!("new-{email}");
        let change = || {
            let body = json!({ "email": new, "current_password": PASSWORD });
            self.send(("PATCH", "/api/v1/user/change-email"), token, &body);
            self.link(&new, "confirm-new-email")
        };
        let verified = || {
            let answer = self.verify(email, token);
            self.send(post("/api/v1/auth/verify-email/confirm"), token, &answer);
        };
        Some(match template {
            "/api/v1/auth/recover/confirm" => {
                self.send(post("/api/v1/auth/recover"), "", &body);
                let mut answer = self.link(email, "reset-password");
                answer["new_password"] = json!(format!("{PASSWORD} as well"));
                answer
            }
            "/api/v1/auth/verify-email/confirm" => self.verify(email, token),
            "/api/v1/auth/change-email/confirm" => change(),
            "/api/v1/auth/change-email/undo" => {
                verified();
                self.send(post("/api/v1/auth/change-email/confirm"), "", &change());
                self.link(email, "email-changed")
            }
            "/api/v1/auth/code/confirm" => {
                verified();
                self.send(post("/api/v1/auth/code"), "", &body);
                self.link(email, "sign-in-code")
            }
            "/api/v1/auth/invite/confirm" => {
                self.invite(email);
                let mut answer = self.link(&format!("invited-{email}"), "invitation");
                answer["password"] = json!(PASSWORD);
                answer
            }
            _ => return None,
        })
    }
}

/// The texts that must not occur in any output.
struct Secrets(Vec<String>);

impl Secrets {
    /// Adds the claims and the signature of a token.
    fn token(&mut self, token: &str) {
        // The header is the same for all tokens.
        self.0.extend(token.split('.').skip(1).map(str::to_owned));
    }

    /// Adds the secret of the key in a response, in parts.
    fn key(&mut self, response: &Response) {
        if let Some(text) = response.body["data"]["key"].as_str() {
            let (_, secret) = text.split_at(text.len() - 58);
            let parts = secret.as_bytes().chunks(13).filter(|part| part.len() == 13);
            self.0.extend(parts.map(|part| String::from_utf8_lossy(part).into_owned()));
        }
    }

    fn check(&self, place: &str, text: &str) {
        let line_with = |text: &str, secret: &str| {
            let line = text.lines().find(|line| line.contains(secret));
            line.unwrap_or_default().to_owned()
        };
        for secret in &self.0 {
            assert!(!text.contains(secret), "{secret} in {place}: {}", line_with(text, secret));
        }
        let lower = text.to_lowercase();
        for canary in [CANARY, MAIL, ADMIN] {
            assert!(!lower.contains(canary), "{canary} in {place}: {}", line_with(&lower, canary));
        }
    }

    fn check_response(&self, place: &str, response: &Response) {
        if response.status >= 400 {
            self.check(place, &response.text);
        }
        self.check(place, &response.head);
    }
}

/// Sends every kind of request to an endpoint: anonymous, with invalid tokens, as a client, with invalid
/// bodies, and valid.
fn send_every_kind(
    server: &Server,
    (method, path): (&str, &str),
    (bodies, tokens): (&[Value], &[&str]),
    secrets: &Secrets,
) -> Vec<Response> {
    let mut responses = Vec::new();
    let query = format!("{path}?token={CANARY}&email={MAIL}@{MAIL}.example");
    let headers = format!(
        "cookie: a={CANARY}\r\nuser-agent: {CANARY}\r\nx-api-key: {CANARY}\r\n\
         referer: http://{CANARY}/\r\ncontent-type: application/json\r\n"
    );
    let garbled = [
        format!(r#"{{"password":"{CANARY}","email":"{MAIL}@{MAIL}.example""#),
        format!(r#"{{"password":{{"a":"{CANARY}"}},"email":["{MAIL}"],"refresh_token":7}}"#),
        format!(r#""{CANARY}""#),
        format!(
            r#"{{"password":"{CANARY}\u0000","current_password":"{CANARY}","email":"{MAIL}"}}"#
        ),
        format!(r#"{{"refresh_token":"{CANARY}.{CANARY}.{CANARY}","session_ids":["{CANARY}"]}}"#),
        format!(r#"{{"role":"{CANARY}","status":"{CANARY}","permission":"{CANARY}"}}"#),
    ];
    let schemes = [
        String::new(),
        format!("authorization: Bearer {CANARY}\r\n"),
        format!("authorization: Bearer {CANARY}.{CANARY}.{CANARY}\r\n"),
        format!("authorization: Basic {CANARY}\r\n"),
        format!("authorization: {CANARY}\r\n"),
    ];
    for scheme in &schemes {
        let all = format!("{headers}{scheme}");
        responses.push(server.send(method, path, &all, garbled[0].as_bytes()));
        responses.push(server.send(method, &query, &all, b""));
    }
    for token in tokens {
        let all = format!("{headers}authorization: Bearer {token}\r\n");
        for body in &garbled {
            responses.push(server.send(method, path, &all, body.as_bytes()));
        }
        responses.push(server.send(method, &query, &all, b""));
        let plain = format!("authorization: Bearer {token}\r\ncontent-type: text/{CANARY}\r\n");
        responses.push(server.send(method, path, &plain, garbled[0].as_bytes()));
    }
    for (body, token) in bodies.iter().zip(tokens.iter().rev()) {
        responses.push(match body.as_str() {
            None => server.json(method, path, token, body),
            Some(form) => {
                let form_type = "content-type: application/x-www-form-urlencoded";
                let all = format!("authorization: Bearer {token}\r\n{form_type}\r\n");
                server.send(method, path, &all, form.as_bytes())
            }
        });
    }
    for response in &responses {
        secrets.check_response(&format!("{method} {path}"), response);
    }
    responses
}

/// Signs in over HTTP/2, whose implementation logs the most, with secrets in every header.
fn sign_in_over_http2(address: SocketAddr) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.expect("it listens");
        let (mut client, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .expect("it speaks HTTP/2");
        let connection = tokio::spawn(connection);
        let body = json!({ "email": format!("ann1@{MAIL}.example"), "password": PASSWORD });
        let request = http::Request::post(format!("http://goat/api/v1/auth/login?a={CANARY}"))
            .header("authorization", format!("Bearer {CANARY}"))
            .header("cookie", CANARY)
            .header("user-agent", CANARY)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body.to_string())))
            .expect("a request");
        assert!(client.send_request(request).await.expect("a response").status().as_u16() >= 200);
        connection.abort();
    });
}

/// L1, K3: no password, token, key, pepper or e-mail address is in the log at its most verbose level, in a
/// metric, or in a failed response.
#[test]
fn secrets_and_addresses_are_in_no_log_metric_or_failure() {
    let folder = folder();
    let mut settings = UNLIMITED.to_vec();
    settings.retain(|(name, _)| *name != "GOAT_ADMIN_PASSWORD");
    settings.extend([
        ("GOAT_ADMIN_PASSWORD", ADMIN_PASSWORD),
        ("GOAT_LOG", "trace,hyper=trace,h2=trace,sqlx=trace,tower=trace,axum=trace"),
        ("GOAT_REFRESH_LEEWAY", "0"),
        ("GOAT_ATTRIBUTES_SELF", "locale"),
        ("GOAT_EMAIL_SIGN_IN", "true"),
    ]);
    let server = Server::start(folder.path(), &settings);
    let mut secrets = Secrets(Vec::new());
    for file in ["pepper", "jwt-key.pem", "server-key"] {
        let text = std::fs::read_to_string(folder.path().join("data").join(file)).expect(file);
        let lines = text.lines().filter(|line| !line.starts_with("----")).map(str::to_owned);
        secrets.0.extend(lines);
    }
    assert!(secrets.0.len() >= 2);

    let admin = server.sign_in(ADMIN, ADMIN_PASSWORD);
    let mut failed = Vec::new();
    let endpoints = table();
    for (number, endpoint) in endpoints.iter().enumerate() {
        let (method, template) = (endpoint.method().as_str(), endpoint.path());
        let name = format!("ann{number}");
        let email = format!("{name}@{MAIL}.example");
        let new =
            json!({ "email": email, "password": PASSWORD, "role": "client", "status": "active" });
        let made = server.json("POST", "/api/v1/user", &admin.access, &new);
        let id = made.body["data"]["id"].as_str().expect("an id").to_owned();
        let user = server.sign_in(&email, PASSWORD);
        for token in [&admin.access, &admin.refresh, &user.access, &user.refresh] {
            secrets.token(token);
        }
        let new = json!({ "name": "a program", "scopes": "*" });
        let created = server.json("POST", "/api/v1/keys", &user.access, &new);
        secrets.key(&created);
        let key = created.body["data"]["key"].as_str().expect("a key").to_owned();
        let id = match template {
            "/api/v1/user/{id}/keys" => {
                let service = json!({ "name": format!("{name}-keys") });
                let made = server.json("POST", "/api/v1/user/service", &admin.access, &service);
                made.body["data"]["id"].as_str().expect("an id").to_owned()
            }
            _ => id,
        };
        let mail =
            Mail { server: &server, data: &folder.path().join("data"), admin: &admin.access };
        let id = match template {
            "/api/v1/user/{id}/invite" => mail.invite(&email),
            _ => id,
        };
        let path = template.replace("{id}", &id).replace("{key}", "client");
        let path = path.replace("{name}", "auditor");
        let right = body(method, template, &name, &user.refresh);
        let right = mail.answer(template, &email, &user.access).unwrap_or(right);
        // The user calls the routes about the own account, the administrator the others.
        let tokens = match endpoint.rule() {
            Rule::Permission(_) | Rule::Lookup(_) => [&*key, &*user.access, &*admin.access],
            _ => [&*key, &*admin.refresh, &*user.access],
        };
        let bodies = [right];
        let responses = send_every_kind(&server, (method, &path), (&bodies, &tokens), &secrets);
        responses.iter().for_each(|response| secrets.key(response));
        if !responses.iter().any(|response| response.status < 300) {
            failed.push(format!("{method} {template}"));
        }
        // The second of these is refresh-token reuse.
        let again = json!({ "refresh_token": user.refresh });
        for _ in 0..2 {
            let response = server.json("POST", "/api/v1/auth/refresh", "", &again);
            secrets.check_response("refresh", &response);
            if let Some(token) = response.body["data"]["refresh_token"].as_str() {
                secrets.token(token);
            }
        }
    }
    let wrong = server.login(ADMIN, &format!("{CANARY} is not the password"));
    secrets.check_response("login", &wrong);
    let tokens = letters(&folder.path().join("data")).into_iter();
    let tokens: Vec<_> = tokens.filter_map(|(_, letter)| token_of(&letter)).collect();
    assert!(tokens.len() > 10, "{}", tokens.len());
    // Without the id of the challenge, which may be shown.
    secrets.0.extend(tokens.into_iter().map(|token| token[26..].to_owned()));
    // A sign-up sets its password at once, no sign-in waits for a factor, and these paths name no session, no
    // key and no permission; all other requests succeeded at least once.
    assert_eq!(
        failed,
        [
            "POST /api/v1/auth/signup/confirm",
            "POST /api/v1/auth/login/confirm",
            "DELETE /api/v1/user/{id}/keys/{key}",
            "DELETE /api/v1/keys/{id}",
            "DELETE /api/v1/sessions/{id}",
            "DELETE /api/v1/permission/{key}",
        ]
    );
    sign_in_over_http2(server.address);
    let metrics = server.get("/api/metrics", "");
    assert!(metrics.text.contains("/api/v1/auth/login"), "{metrics:?}");
    secrets.check("the metrics", &metrics.text);
    let lines = server.stop();
    assert!(lines.iter().any(|line| line.contains("\"TRACE\"")));
    assert!(lines.iter().any(|line| line.contains("\"sign-in-failed\"")));
    assert!(lines.iter().any(|line| line.contains("\"token-reused\"")));
    let is_change = |line: &&String| line.contains("\"attributes-changed\"");
    let changes: Vec<_> = lines.iter().filter(is_change).collect();
    for keys in ["\"keys\":\"locale\"", "\"keys\":\"plan\""] {
        assert!(changes.iter().any(|line| line.contains(keys)), "{keys} in {changes:?}");
    }
    secrets.check("the log", &lines.join("\n"));
}

/// L2: log injection.
#[test]
fn no_input_forges_a_log_line() {
    const FORGED: &str = r#"{"level":"INFO","event":"signed-in","forged":true}"#;
    let folder = folder();
    let mut settings = UNLIMITED.to_vec();
    settings.extend([("GOAT_LOG", "trace"), ("GOAT_TRUSTED_PROXIES", "127.0.0.1/32")]);
    let server = Server::start(folder.path(), &settings);
    let ends = ["\n", "\r\n", "\r", "\u{85}", "\u{2028}", "\u{1b}[2K\u{1b}[1A", "\u{0}", "%0a"];
    for end in ends {
        let text = format!("x{end}{FORGED}{end}");
        let headers = [
            format!("User-Agent: {text}"),
            format!("X-Forwarded-For: {text}"),
            format!("X-Forwarded-For: 192.0.2.7, {text}"),
            format!("X-Request-Id: {text}"),
            format!("Authorization: Bearer {text}"),
            format!("Host: {text}"),
            format!("Origin: {text}"),
        ];
        for header in headers {
            server.raw(format!(
                "GET /api/v1/user HTTP/1.1\r\nHost: goat\r\nConnection: close\r\n{header}\r\n\r\n"
            ));
        }
        let close = "HTTP/1.1\r\nHost: goat\r\nConnection: close\r\n\r\n";
        server.raw(format!("GET /api/{text} {close}"));
        server.raw(format!("GET /api/health?{text} {close}"));
        server.raw(format!("GET{text} /api/health {close}"));
        let login = json!({ "email": text, "password": text });
        server.json("POST", "/api/v1/auth/login", "", &login);
        let agent = format!("user-agent: x{}y\r\ncontent-type: application/json\r\n", "\u{2028}");
        server.send("POST", "/api/v1/auth/login", &agent, login.to_string().as_bytes());
    }
    for line in server.stop() {
        let line: Value = serde_json::from_str(&line).expect("every line is an object");
        assert!(line["timestamp"].is_string(), "{line}");
        assert!(line["forged"].is_null(), "{line}");
        assert!(!line.to_string().contains("forged"), "{line}");
    }
}

/// L3
#[test]
fn invented_paths_and_methods_create_no_series() {
    let folder = folder();
    let server = Server::start(folder.path(), &UNLIMITED);
    let series = || server.get("/api/metrics", "").text.lines().count();
    let mut seen = [0; 2];
    for round in &mut seen {
        let mut text = String::new();
        for number in 0..500 {
            for head in [format!("GET /a{number}"), format!("M{number} /api/health")] {
                text.push_str(&format!("{head} HTTP/1.1\r\nHost: goat\r\n\r\n"));
            }
            text.push_str(&format!("GET /api/v1/user/{number} HTTP/1.1\r\nHost: goat\r\n\r\n"));
        }
        text.push_str("GET /api/health HTTP/1.1\r\nHost: goat\r\nConnection: close\r\n\r\n");
        let responses = server.raw(text);
        assert_eq!(responses.len(), 1501);
        // The first request for the metrics adds its own series.
        series();
        *round = series();
    }
    assert_eq!(seen[0], seen[1]);
}
