//! Who one is not: tokens that were made, bent or taken elsewhere, addresses that only look alike,
//! and powers that one does not have.

use std::collections::HashSet;
use std::io::Write as _;

use serde_json::{Value, json};

use crate::harness::{ADMIN, ADMIN_PASSWORD, PASSWORD, Server, UNLIMITED, folder};

fn server() -> (tempfile::TempDir, Server) {
    let folder = folder();
    let server = Server::start(folder.path(), &UNLIMITED);
    (folder, server)
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Base64 for addresses, without padding (RFC 4648, section 5).
fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut three = [0; 3];
        three[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for digit in 0..=chunk.len() {
            let index = (bits >> (18 - 6 * digit)) & 63;
            text.push(char::from(DIGITS[index as usize]));
        }
    }
    text
}

/// What the digits stand for.
fn unbase64(text: &str) -> Vec<u8> {
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for digit in text.bytes() {
        let value = DIGITS.iter().position(|one| *one == digit).expect("a digit");
        bits = bits << 6 | u32::try_from(value).expect("six bits");
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    bytes
}

/// J1, J2, J3: over the wire, by the real keys.
#[test]
fn a_token_that_was_bent_opens_nothing() {
    let (_folder, server) = server();
    let admin = server.sign_in(ADMIN, ADMIN_PASSWORD);
    let parts: Vec<&str> = admin.access.split('.').collect();
    let head: Value = serde_json::from_slice(&unbase64(parts[0])).expect("a header");
    let claims: Value = serde_json::from_slice(&unbase64(parts[1])).expect("claims");
    let kid = head["kid"].as_str().expect("a key id");
    assert_eq!(base64(&unbase64(parts[1])), parts[1], "the helper works");

    let mut heads = Vec::new();
    for alg in ["none", "None", "NONE", "nOnE", "HS256", "RS256", "ES256", "eddsa", "Ed25519", ""] {
        heads.push(json!({ "alg": alg, "typ": "at+jwt", "kid": kid }));
    }
    for other in [
        json!({ "kid": "../../etc/passwd" }),
        json!({ "kid": "' OR '1'='1" }),
        json!({ "kid": "" }),
        json!({ "kid": [kid] }),
        json!({ "kid": kid, "alg": ["EdDSA"] }),
        json!({ "kid": kid, "typ": "JWT" }),
        json!({ "kid": kid, "typ": "rt+jwt" }),
        json!({ "kid": kid, "crit": ["exp"] }),
        json!({ "kid": kid, "jku": "http://127.0.0.1:1/" }),
        json!({ "kid": kid, "jwk": { "kty": "OKP", "crv": "Ed25519", "x": "A" } }),
    ] {
        let mut bent = head.clone();
        for (name, value) in other.as_object().expect("an object") {
            bent[name] = value.clone();
        }
        heads.push(bent);
    }
    let mut tokens = Vec::new();
    for bent in heads {
        let head = base64(bent.to_string().as_bytes());
        for signature in ["", parts[2], &"A".repeat(86)] {
            tokens.push(format!("{head}.{}.{signature}", parts[1]));
        }
    }
    let mut raised = claims;
    raised["exp"] = json!(4_000_000_000_u64);
    let raised = base64(raised.to_string().as_bytes());
    tokens.extend([
        format!("{}.{raised}.{}", parts[0], parts[2]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{}=", admin.access),
        format!("{}.{}", admin.access, parts[2]),
        format!(".{}", admin.access),
        admin.access.to_uppercase(),
        admin.refresh.clone(),
        "A".repeat(9000),
    ]);
    for token in tokens {
        let answer = server.get("/api/v1/user", &token);
        assert_eq!(answer.failure(), (401, "invalid-token"), "{token}: {answer:?}");
    }
    // An access token is no refresh token either, and showing it as one ends nothing.
    let body = json!({ "refresh_token": admin.access });
    let answer = server.json("POST", "/api/v1/auth/refresh", "", &body);
    assert_eq!(answer.failure(), (401, "invalid-token"));
    assert_eq!(server.get("/api/v1/user", &admin.access).status, 200);
}

/// J2, J4: another server's tokens, with the same issuer, audience and administrator.
#[test]
fn a_token_of_another_server_opens_nothing() {
    let (_folder, server) = server();
    let (_other_folder, other) = self::server();
    let (ours, theirs) =
        (server.sign_in(ADMIN, ADMIN_PASSWORD), other.sign_in(ADMIN, ADMIN_PASSWORD));
    assert_eq!(server.get("/api/v1/user", &ours.access).status, 200);
    for (server, tokens) in [(&server, &theirs), (&other, &ours)] {
        let answer = server.get("/api/v1/user", &tokens.access);
        assert_eq!(answer.failure(), (401, "invalid-token"));
        let body = json!({ "refresh_token": tokens.refresh });
        let answer = server.json("POST", "/api/v1/auth/refresh", "", &body);
        assert_eq!(answer.failure(), (401, "invalid-token"));
    }
}

/// J4: the same key and database, and another issuer or audience.
#[test]
fn a_token_for_another_issuer_or_audience_opens_nothing() {
    let folder = folder();
    let server = Server::start(folder.path(), &UNLIMITED);
    let tokens = server.sign_in(ADMIN, ADMIN_PASSWORD);
    assert_eq!(server.get("/api/v1/user", &tokens.access).status, 200);
    server.stop();
    for setting in [("GOAT_ISSUER", "another"), ("GOAT_AUDIENCE", "another")] {
        let server = Server::start(folder.path(), &[&UNLIMITED[..], &[setting]].concat());
        let answer = server.get("/api/v1/user", &tokens.access);
        assert_eq!(answer.failure(), (401, "invalid-token"), "{setting:?}");
        let body = json!({ "refresh_token": tokens.refresh });
        let answer = server.json("POST", "/api/v1/auth/refresh", "", &body);
        assert_eq!(answer.failure(), (401, "invalid-token"), "{setting:?}");
        server.stop();
    }
    let server = Server::start(folder.path(), &UNLIMITED);
    assert_eq!(server.get("/api/v1/user", &tokens.access).status, 200);
}

/// R7: whoever is gone or shut out is so at once, for every token and every route.
#[test]
fn tokens_of_the_deleted_and_the_suspended_are_dead_at_once() {
    let (_folder, server) = server();
    let admin = server.sign_in(ADMIN, ADMIN_PASSWORD).access;
    let cases = [
        ("DELETE", "", Value::Null),
        ("PATCH", "/change-status", json!({ "status": "suspended" })),
        ("PUT", "", json!({ "password": "another walk on a long pier" })),
        ("DELETE", "/sessions", Value::Null),
    ];
    for (number, (method, suffix, body)) in cases.into_iter().enumerate() {
        let email = format!("operator{number}@example.org");
        let id = server.make(&admin, &email, "operator");
        let gone = server.sign_in(&email, PASSWORD);
        assert_eq!(server.get("/api/v1/user/list", &gone.access).status, 200);
        let answer = server.json(method, &format!("/api/v1/user/{id}{suffix}"), &admin, &body);
        assert!(answer.status < 300, "{answer:?}");
        for path in ["/api/v1/user", "/api/v1/user/list", "/api/v1/auth/verify", "/api/v1/sessions"]
        {
            let answer = server.get(path, &gone.access);
            assert_eq!(answer.failure(), (401, "session-revoked"), "{method} {suffix} {path}");
        }
        let body = json!({ "refresh_token": gone.refresh });
        let answer = server.json("POST", "/api/v1/auth/refresh", "", &body);
        assert_eq!(answer.failure(), (401, "session-revoked"), "{method} {suffix}");
    }
}

/// A2: an operator is nobody to an administrator, to another operator and to themselves, by any
/// verb; and no member of a body makes them more.
#[test]
fn an_operator_has_no_power_over_equals_betters_or_themselves() {
    let (_folder, server) = server();
    let admin = server.sign_in(ADMIN, ADMIN_PASSWORD).access;
    let root =
        server.get("/api/v1/user", &admin).body["data"]["id"].as_str().expect("id").to_owned();
    let me = server.make(&admin, "one@example.org", "operator");
    let peer = server.make(&admin, "two@example.org", "operator");
    let client = server.make(&admin, "three@example.org", "client");
    let token = server.sign_in("one@example.org", PASSWORD).access;
    // All the power that an operator can be given.
    let grant = json!({ "role": "operator", "action": "user:*" });
    let answer = server.json("POST", "/api/v1/permission", &admin, &grant);
    assert_eq!(answer.status, 201, "{answer:?}");
    let verbs = [
        ("PUT", "", json!({ "email": "mine@example.org" })),
        ("PUT", "", json!({ "password": "a password of my own choice" })),
        ("PATCH", "/change-role", json!({ "role": "client" })),
        ("PATCH", "/change-role", json!({ "role": "admin" })),
        ("PATCH", "/change-status", json!({ "status": "suspended" })),
        ("PATCH", "/change-status", json!({ "status": "inactive" })),
        ("DELETE", "/sessions", Value::Null),
        ("DELETE", "", Value::Null),
    ];
    for target in [&root, &peer, &me] {
        for (method, suffix, body) in &verbs {
            let path = format!("/api/v1/user/{target}{suffix}");
            let answer = server.json(method, &path, &token, body);
            assert_eq!(answer.status, 403, "{method} {path} {body}: {answer:?}");
        }
    }
    for target in [&root, &peer] {
        for suffix in ["", "/sessions"] {
            let answer = server.get(&format!("/api/v1/user/{target}{suffix}"), &token);
            assert_eq!(answer.status, 403, "{answer:?}");
        }
    }
    for role in ["admin", "operator"] {
        let change = json!({ "role": role });
        let path = format!("/api/v1/user/{client}/change-role");
        assert_eq!(server.json("PATCH", &path, &token, &change).status, 403, "{role}");
        let new =
            json!({ "email": format!("{role}@example.org"), "password": PASSWORD, "role": role });
        assert_eq!(server.json("POST", "/api/v1/user", &token, &new).status, 403, "{role}");
    }
    for (method, path) in [("GET", "role"), ("GET", "permission"), ("POST", "permission")] {
        let grant = json!({ "role": "operator", "action": "full_access" });
        let body = if method == "POST" { grant } else { Value::Null };
        assert_eq!(server.json(method, &format!("/api/v1/{path}"), &token, &body).status, 403);
    }
    let listed = server.get("/api/v1/user/list", &token);
    assert!(!listed.text.contains(ADMIN) && !listed.text.contains("two@example.org"), "{listed:?}");
    assert_eq!(server.get("/api/v1/user", &token).body["data"]["role"], "operator");
}

/// A4: what a body may not have is refused, in whatever spelling, and does nothing.
#[test]
fn no_body_sets_what_it_may_not() {
    let (_folder, server) = server();
    let admin = server.sign_in(ADMIN, ADMIN_PASSWORD).access;
    server.make(&admin, "ann@example.org", "client");
    let token = server.sign_in("ann@example.org", PASSWORD).access;
    let extra = [
        r#""role":"admin""#,
        r#""Role":"admin""#,
        r#""status":"active""#,
        r#""id":"01ARZ3NDEKTSV4RRFFQ69G5FAV""#,
        r#""is_admin":true"#,
        r#""permissions":["full_access"]"#,
        r#""__proto__":{"role":"admin"}"#,
        r#""EMAIL":"x@example.org""#,
        r#""password_hash":"x""#,
    ];
    for member in extra {
        for (method, path, body) in [
            (
                "POST",
                "auth/signup",
                r#""email":"eve@example.org","password":"a walk to some far pier""#,
            ),
            (
                "POST",
                "auth/login",
                r#""email":"ann@example.org","password":"a long walk on a short pier""#,
            ),
            (
                "PATCH",
                "user/change-email",
                r#""email":"eve@example.org","current_password":"a long walk on a short pier""#,
            ),
        ] {
            let headers =
                format!("authorization: Bearer {token}\r\ncontent-type: application/json\r\n");
            let body = format!("{{{body},{member}}}");
            let answer = server.ask(method, &format!("/api/v1/{path}"), &headers, body.as_bytes());
            assert_eq!(answer.failure(), (400, "validation"), "{path} {member}: {answer:?}");
        }
    }
    let me = server.get("/api/v1/user", &token);
    assert_eq!(
        (&me.body["data"]["email"], &me.body["data"]["role"]),
        (&"ann@example.org".into(), &"client".into())
    );
    assert_eq!(server.login("eve@example.org", "a walk to some far pier").status, 401);
}

/// R8: other people's sessions are as if they were not there.
#[test]
fn ids_of_other_peoples_sessions_are_ids_of_none() {
    let (_folder, server) = server();
    let admin = server.sign_in(ADMIN, ADMIN_PASSWORD).access;
    server.make(&admin, "ann@example.org", "client");
    let ann = server.sign_in("ann@example.org", PASSWORD).access;
    let ids = |token: &str| -> Vec<String> {
        let answer = server.get("/api/v1/sessions", token);
        let sessions = answer.body["data"].as_array().expect("sessions");
        sessions.iter().map(|one| one["id"].as_str().expect("an id").to_owned()).collect()
    };
    let (theirs, mine) = (ids(&admin).remove(0), ids(&ann).remove(0));
    let nobodys = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let answers: Vec<_> = [&*theirs, nobodys]
        .iter()
        .map(|id| {
            let one = server.json("DELETE", &format!("/api/v1/sessions/{id}"), &ann, &Value::Null);
            let batch = json!({ "session_ids": [mine, id] });
            let batch = server.json("DELETE", "/api/v1/sessions", &ann, &batch);
            [one, batch].map(|answer| {
                (answer.status, answer.body["code"].clone(), answer.body["detail"].clone())
            })
        })
        .collect();
    assert_eq!(answers[0], answers[1]);
    assert!(answers[0].iter().all(|(status, ..)| *status >= 400), "{answers:?}");
    assert_eq!(server.get("/api/v1/user", &admin).status, 200);
    assert_eq!(server.get("/api/v1/user", &ann).status, 200, "the batch ended nothing");
}

/// B1, E3: what looks like an address of somebody is that address or none; it is never another's.
#[test]
fn addresses_that_look_alike_are_one_or_refused() {
    let (_folder, server) = server();
    let admin = server.sign_in(ADMIN, ADMIN_PASSWORD).access;
    let sign_up = |email: &str| {
        let body = json!({ "email": email, "password": PASSWORD });
        server.json("POST", "/api/v1/auth/signup", "", &body)
    };
    assert_eq!(sign_up("kiss@example.org").status, 201);
    // Other cases and spaces, full-width and compatible letters of the domain: one address.
    let same = [
        "KISS@example.org",
        " kiss@EXAMPLE.ORG ",
        "kiss@ｅｘａｍｐｌｅ．ｏｒｇ",
        "Kiss@Example。org",
    ];
    for email in same {
        assert_eq!(sign_up(email).failure(), (409, "email-taken"), "{email}");
        assert_eq!(server.login(email, PASSWORD).status, 200, "{email}");
    }
    // İ, ſ, K (the sign), dotless ı, zero width, a soft hyphen, Cyrillic: no letters of a name.
    let other = [
        "kİss@example.org",
        "kiſs@example.org",
        "\u{212a}iss@example.org",
        "kıss@example.org",
        "kiss\u{200b}@example.org",
        "ki\u{ad}ss@example.org",
        "kіss@example.org",
        "kiss@example.org\u{0}",
        "kiss@example.org.",
        "kiss@example.org\r\nbcc: x@example.org",
        "\"kiss\"@example.org",
        "kiss(x)@example.org",
        "kiss@example.org,admin@goat.local",
    ];
    for email in other {
        assert_eq!(sign_up(email).failure(), (400, "validation"), "{email:?}");
        assert_eq!(
            server.login(email, PASSWORD).failure(),
            (401, "invalid-credentials"),
            "{email:?}"
        );
        let new = json!({ "email": email, "password": PASSWORD });
        assert_eq!(
            server.json("POST", "/api/v1/user", &admin, &new).failure(),
            (400, "validation"),
            "{email:?}"
        );
    }
    // The administrator's is theirs in every spelling.
    for email in
        ["ADMIN@goat.local", "admin@GOAT.LOCAL", "admin@ｇｏａｔ.local", "admin@go\u{ad}at.local"]
    {
        assert_eq!(sign_up(email).failure(), (409, "email-taken"), "{email}");
    }
    let all: HashSet<String> = server.get("/api/v1/user/list?limit=100", &admin).body["data"]
        .as_array()
        .expect("users")
        .iter()
        .map(|user| user["email"].as_str().expect("an address").to_lowercase())
        .collect();
    assert_eq!(all.len(), 2, "{all:?}");
}

/// I1, B2: who names another address with every guess is counted like everybody else, also when all
/// guesses come at once.
#[test]
fn an_address_that_one_gives_oneself_buys_no_guess() {
    let folder = folder();
    let mut settings = UNLIMITED.to_vec();
    settings.retain(|(name, _)| *name != "GOAT_RATE_LIMIT_AUTH");
    settings.push(("GOAT_HASH_QUEUE", "1000"));
    let server = Server::start(folder.path(), &settings);
    let mut streams: Vec<_> = (0..60)
        .map(|number| {
            let body = json!({ "email": format!("u{}@example.org", number % 7), "password": "x" })
                .to_string();
            let mut stream = server.connect();
            let request = format!(
                "POST /api/v1/auth/login HTTP/1.1\r\nHost: goat\r\nConnection: close\r\n\
                 X-Forwarded-For: 203.0.113.{number}\r\nX-Real-IP: 203.0.113.{number}\r\n\
                 Forwarded: for=203.0.113.{number}\r\nX-Client-IP: 203.0.113.{number}\r\n\
                 CF-Connecting-IP: 203.0.113.{number}\r\nTrue-Client-IP: 203.0.113.{number}\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(request.as_bytes()).expect("sent");
            stream
        })
        .collect();
    let mut tried = 0;
    for stream in streams.drain(..) {
        let answer = crate::harness::read_all(stream).remove(0);
        match answer.status {
            401 => tried += 1,
            429 => {
                let wait: u64 = answer.header("retry-after").parse().expect("seconds");
                assert!((1..=60).contains(&wait), "{answer:?}");
            }
            _ => panic!("{answer:?}"),
        }
    }
    assert_eq!(tried, 5, "the limit that is shipped");
}
