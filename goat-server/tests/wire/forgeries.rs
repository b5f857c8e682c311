//! Forged credentials: altered and foreign tokens, and claimed client addresses.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::harness::{ADMIN, ADMIN_PASSWORD, Server, UNLIMITED, folder};

fn server() -> (tempfile::TempDir, Server) {
    let folder = folder();
    let server = Server::start(folder.path(), &UNLIMITED);
    (folder, server)
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Encodes base64url without padding (RFC 4648, section 5).
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

/// Decodes base64url without padding.
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

/// J1, J2, J3
#[test]
fn altered_tokens_are_rejected() {
    let (_folder, server) = server();
    let admin = server.sign_in(ADMIN, ADMIN_PASSWORD);
    let parts: Vec<&str> = admin.access.split('.').collect();
    let head: Value = serde_json::from_slice(&unbase64(parts[0])).expect("a header");
    let claims: Value = serde_json::from_slice(&unbase64(parts[1])).expect("claims");
    let kid = head["kid"].as_str().expect("a key id");
    assert_eq!(base64(&unbase64(parts[1])), parts[1], "the encoding is right");

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
        let mut altered = head.clone();
        for (name, value) in other.as_object().expect("an object") {
            altered[name] = value.clone();
        }
        heads.push(altered);
    }
    let mut tokens = Vec::new();
    for altered in heads {
        let head = base64(altered.to_string().as_bytes());
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
        let response = server.get("/api/v1/user", &token);
        assert_eq!(response.failure(), (401, "invalid-token"), "{token}: {response:?}");
    }
    // An access token is no refresh token; presenting it as one ends nothing.
    let body = json!({ "refresh_token": admin.access });
    let response = server.json("POST", "/api/v1/auth/refresh", "", &body);
    assert_eq!(response.failure(), (401, "invalid-token"));
    assert_eq!(server.get("/api/v1/user", &admin.access).status, 200);
}

/// J2, J4: the other server has the same issuer, audience and administrator.
#[test]
fn tokens_of_another_server_are_rejected() {
    let (_folder, server) = server();
    let (_other_folder, other) = self::server();
    let (ours, theirs) =
        (server.sign_in(ADMIN, ADMIN_PASSWORD), other.sign_in(ADMIN, ADMIN_PASSWORD));
    assert_eq!(server.get("/api/v1/user", &ours.access).status, 200);
    for (server, tokens) in [(&server, &theirs), (&other, &ours)] {
        let response = server.get("/api/v1/user", &tokens.access);
        assert_eq!(response.failure(), (401, "invalid-token"));
        let body = json!({ "refresh_token": tokens.refresh });
        let response = server.json("POST", "/api/v1/auth/refresh", "", &body);
        assert_eq!(response.failure(), (401, "invalid-token"));
    }
}

/// J4: the key and the database are the same.
#[test]
fn tokens_for_another_issuer_or_audience_are_rejected() {
    let folder = folder();
    let server = Server::start(folder.path(), &UNLIMITED);
    let tokens = server.sign_in(ADMIN, ADMIN_PASSWORD);
    assert_eq!(server.get("/api/v1/user", &tokens.access).status, 200);
    server.stop();
    for setting in [("GOAT_ISSUER", "another"), ("GOAT_AUDIENCE", "another")] {
        let server = Server::start(folder.path(), &[&UNLIMITED[..], &[setting]].concat());
        let response = server.get("/api/v1/user", &tokens.access);
        assert_eq!(response.failure(), (401, "invalid-token"), "{setting:?}");
        let body = json!({ "refresh_token": tokens.refresh });
        let response = server.json("POST", "/api/v1/auth/refresh", "", &body);
        if setting.0 == "GOAT_ISSUER" {
            assert_eq!(response.failure(), (401, "invalid-token"), "{setting:?}");
        } else {
            // J9: refresh tokens are for the issuer.
            assert_eq!(response.status, 200, "{setting:?}");
        }
        server.stop();
    }
    let server = Server::start(folder.path(), &UNLIMITED);
    assert_eq!(server.get("/api/v1/user", &tokens.access).status, 200);
}

/// I1, B2: concurrent attempts with a different claimed address each are counted by the real one.
#[test]
fn claimed_addresses_do_not_evade_the_limit() {
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
        let response = crate::harness::read_all(stream).remove(0);
        match response.status {
            401 => tried += 1,
            429 => {
                let wait: u64 = response.header("retry-after").parse().expect("seconds");
                assert!((1..=60).contains(&wait), "{response:?}");
            }
            _ => panic!("{response:?}"),
        }
    }
    assert_eq!(tried, 5, "the default limit");
}
