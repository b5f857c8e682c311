//! Parsers of goat-core and goat-tower that read what clients send.

use std::net::IpAddr;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use goat_core::key::{KeyPrefix, PresentedKey, Scopes};
use goat_core::password::{
    ForeignHashes, NewPassword, PasswordHasher as _, PasswordPolicy, TriedPassword,
};
use goat_core::testing::{ManualClock, forged_key};
use goat_core::token::{MAX_TOKEN_BYTES, TokenKeys, TokenSettings, Tokens, Verifier};
use goat_core::{Clock as _, Email, Secret, Timestamp};
use goat_tower::address::{Evidence, ForwardedHeader, TrustedProxies, resolve};
use goat_tower::cookie::Cookies;
use http::{HeaderMap, HeaderValue, Request};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};

/// The key of the seeds, so that a changed seed can pass the signature.
const SECRET: &[u8; 32] = b"yJ2kq0vR8sXw3nTz6bHc1mLf9dGp5aQe";

static TOKENS: LazyLock<Tokens> = LazyLock::new(|| {
    let keys = TokenKeys::hs256(vec![Secret::new(SECRET.to_vec())]).expect("a long secret");
    Tokens::new(keys, TokenSettings::default())
});

/// 2026-01-01, the time of the seeds.
fn now() -> Timestamp {
    ManualClock::default().now()
}

/// A token as sent; a header and a payload, separated by a line break, under a right signature; and a
/// JWK set.
pub fn token(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    verify(text);
    if let Some((header, payload)) = text.split_once('\n') {
        let message =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let key = EncodingKey::from_secret(SECRET).expect("a long secret");
        let signature = crypto::sign(message.as_bytes(), &key, Algorithm::HS256);
        verify(&format!("{message}.{}", signature.expect("a signature")));
    }
    if let Ok(verifier) = Verifier::new(data, TokenSettings::default()) {
        assert!(verifier.verify(text).is_err(), "a document is no token");
    }
}

fn verify(token: &str) {
    let access = TOKENS.verify_access(token, now());
    let refresh = TOKENS.verify_refresh(token, now());
    assert!(access.is_err() || refresh.is_err(), "J3: a token of both types");
    let leeway = TOKENS.settings().clock_leeway();
    if let Ok(claims) = access {
        assert!(token.len() <= MAX_TOKEN_BYTES, "J8");
        assert!(claims.expires_at + leeway > now(), "J5: expired");
        assert!(claims.issued_at <= now() + leeway, "J5: from the future");
        let again = TOKENS.sign_access(&claims).expect("a token");
        assert_eq!(*TOKENS.verify_access(&again, now()).expect("valid"), *claims);
    }
    if let Ok(claims) = refresh {
        assert!(claims.expires_at + leeway > now(), "J5: expired");
    }
}

/// Lines of a forwarding header; the first byte chooses the header.
pub fn forwarding(data: &[u8]) {
    let Some((first, lines)) = data.split_first() else { return };
    let header =
        if first % 2 == 0 { ForwardedHeader::XForwardedFor } else { ForwardedHeader::Forwarded };
    let proxies = TrustedProxies::parse(["10.0.0.0/8", "2001:db8::/32"]).expect("ranges");
    let (proxy, client) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([192, 0, 2, 7]));
    let mut headers = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let Ok(value) = HeaderValue::from_bytes(line) else { continue };
        headers.append(header.name(), value);
    }
    let untrusted = resolve(&proxies, header, Some(client), &headers);
    assert_eq!(untrusted.address.expect("the peer").ip(), client, "I1: only from proxies");
    let found = resolve(&proxies, header, Some(proxy), &headers);
    let address = found.address.expect("at least the peer").ip();
    assert_eq!(address, address.to_canonical(), "I2: one form of an address");
    match found.evidence {
        Evidence::Forwarded if !proxies.contains(address) => {
            // I2: elements to the left of the client are never parsed.
            let mut longer = HeaderMap::new();
            longer.append(header.name(), HeaderValue::from_static("for=\"[::, ;unknown"));
            for value in headers.get_all(header.name()) {
                longer.append(header.name(), value.clone());
            }
            assert_eq!(resolve(&proxies, header, Some(proxy), &longer), found);
        }
        Evidence::Forwarded => {}
        _ => assert_eq!(address, proxy, "I2: otherwise the peer"),
    }
}

/// The text of an API key, a prefix, and stored scopes.
pub fn key(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let prefix = KeyPrefix::default();
    if let Some(key) = PresentedKey::parse(&prefix, text) {
        assert_eq!(text.len(), "goat_".len() + 26 + 52 + 6);
        assert!(text.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase()));
        assert_eq!(text[5..31].to_ascii_uppercase(), key.id().to_string());
        let again = forged_key(&text.into(), &text.into());
        assert_eq!(again.expose(), text, "one spelling");
        assert!(!format!("{key:?}").contains(&text[31..]), "K3");
        let other = KeyPrefix::parse("acme").expect("a prefix");
        assert!(PresentedKey::parse(&other, text).is_none());
        assert!(TOKENS.verify_access(text, now()).is_err(), "K6: a key is no token");
    }
    if let Ok(prefix) = KeyPrefix::parse(text) {
        assert_eq!(prefix.as_str(), text);
        assert!(PresentedKey::parse(&prefix, text).is_none());
    }
    if let Some(scopes) = Scopes::from_stored(text) {
        assert_eq!(Scopes::from_stored(&scopes.stored()), Some(scopes));
    }
}

/// An address as typed.
pub fn email(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let key = Email::counting_key(text);
    let Ok(email) = Email::parse(text) else { return };
    let canonical = email.canonical();
    assert!(email.as_str().len() <= 254 && canonical.len() <= 254);
    assert_eq!(email.as_str(), text.trim());
    assert!(canonical.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase()));
    assert_eq!(key, canonical, "B1: one counter for all spellings");
    let again = Email::parse(canonical).expect("its canonical form is an address");
    assert_eq!(again.canonical(), canonical);
    let other = Email::parse(&format!("\t{} ", email.as_str().to_ascii_uppercase()));
    assert_eq!(other.expect("another spelling").canonical(), canonical);
}

/// A password as typed.
pub fn password(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let policy = PasswordPolicy::default();
    let tried = TriedPassword::new(text);
    match NewPassword::parse(text, &policy, Some("ann.lee@example.org")) {
        Ok(new) => {
            assert!(new.is_same_as(&tried), "P3: the same text is the same password");
            assert!(!new.is_same_as(&TriedPassword::new(&format!("{text}x"))), "P2: no truncation");
            let characters = text.chars().count();
            assert!(characters <= 4 * policy.maximum() && !text.contains('\0'));
        }
        Err(faults) => assert!(!faults.is_empty()),
    }
}

/// A stored hash. Only hashes of an accepted cost would be computed; none is.
pub fn password_hash(data: &[u8]) {
    static HASHER: LazyLock<ForeignHashes> = LazyLock::new(ForeignHashes::default);
    let Ok(text) = str::from_utf8(data) else { return };
    match HASHER.check(text) {
        Ok(()) => {
            let fields: Vec<&str> = text.split('$').collect();
            let most = match fields[..] {
                // A salt as text can have any form, so only the number of rounds is looked at.
                ["pbkdf2_sha1" | "pbkdf2_sha256", rounds, _, _] => vec![(rounds, 1 << 21)],
                ["scrypt", n, _, r, p, _] => vec![(n, 1 << 20), (r, 32), (p, 16)],
                [.., "2a" | "2b" | "2y", cost, _] => vec![(cost, 15)],
                ["", "pbkdf2" | "pbkdf2-sha256" | "pbkdf2-sha512", rounds, _, _]
                    if !rounds.contains('=') =>
                {
                    vec![(rounds, 1 << 21)]
                }
                _ => {
                    let bounds = [
                        ("m=", 128 << 10),
                        ("t=", 10),
                        ("p=", 16),
                        ("ln=", 20),
                        ("r=", 32),
                        ("i=", 1 << 21),
                    ];
                    let parameters = text.split(['$', ',']);
                    parameters
                        .flat_map(|field| {
                            bounds.map(|(name, most)| (field.strip_prefix(name), most))
                        })
                        .filter_map(|(value, most)| Some((value?, most)))
                        .collect()
                }
            };
            for (value, most) in most {
                let value: u64 = value.parse().expect("a number");
                assert!(value <= most, "P1: refused before it costs time or memory");
            }
        }
        Err(error) => assert!(!error.to_string().contains('\n')),
    }
}

/// Lines of the `Cookie` header.
pub fn cookies(data: &[u8]) {
    let mut request = Request::post("/").header("sec-fetch-site", "same-origin");
    for line in data.split(|byte| *byte == b'\n') {
        request = match HeaderValue::from_bytes(line) {
            Ok(value) => request.header("cookie", value),
            Err(_) => continue,
        };
    }
    let (request, ()) = request.body(()).expect("a request").into_parts();
    let cookies = Cookies::new();
    let access = cookies.access_token(&request).ok().flatten().map(str::to_owned);
    let refresh = cookies.refresh_token(&request).ok().map(|token| token.expose().clone());
    for (name, token) in [("__Host-goat-access", access), ("__Host-goat-refresh", refresh)] {
        let Some(token) = token else { continue };
        assert!(token.len() <= MAX_TOKEN_BYTES);
        assert!(token.bytes().all(|byte| byte.is_ascii_graphic() && !b";,\"".contains(&byte)));
        let is_sent = |line: &[u8]| {
            line.windows(token.len()).any(|window| window == token.as_bytes())
                && line.windows(name.len()).any(|window| window == name.as_bytes())
        };
        assert!(token.is_empty() || data.split(|byte| *byte == b'\n').any(is_sent));
    }
}
