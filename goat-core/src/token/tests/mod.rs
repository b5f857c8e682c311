//! Tests with a forge that signs arbitrary input, so that only the tested defect can cause a
//! refusal.

#![expect(clippy::unwrap_used, reason = "a test that fails here should stop here")]

mod device;
mod hostile;
mod jwks;
mod keys;
mod memory;
mod round_trip;
mod times;
mod verifier;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};

use super::{AccessClaims, RefreshClaims, TokenKeys, TokenSettings, Tokens, Verifier};
use crate::clock::Timestamp;
use crate::error::ErrorKind;
use crate::id::{SessionId, TokenId, UserId};
use crate::proof::Assurance;
use crate::secret::Secret;
use crate::testing::ManualClock;
use crate::user::{Attributes, Revisions};

/// A secret that no check finds weak.
const SECRET: &[u8; 32] = b"yJ2kq0vR8sXw3nTz6bHc1mLf9dGp5aQe";

/// The private key of RFC 8037, appendix A.1.
const RFC_8037_PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
    -----END PRIVATE KEY-----\n";

/// Its public key.
const RFC_8037_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
    MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n\
    -----END PUBLIC KEY-----\n";

fn pem(text: &str) -> Secret<String> {
    Secret::from(text)
}

fn hs256() -> TokenKeys {
    TokenKeys::hs256(vec![Secret::new(SECRET.to_vec())]).unwrap()
}

fn eddsa() -> TokenKeys {
    TokenKeys::eddsa(&[pem(RFC_8037_PRIVATE)]).unwrap()
}

fn tokens(keys: TokenKeys) -> Tokens {
    Tokens::new(keys, TokenSettings::default())
}

/// A verifier with the public keys, and its clock, which starts at [`now`].
fn verifier(keys: &TokenKeys) -> (Verifier, ManualClock) {
    let (jwks, clock) = (keys.jwks().to_string(), ManualClock::default());
    let time = Arc::new(clock.clone());
    (Verifier::with_clock(jwks, TokenSettings::default(), time).unwrap(), clock)
}

/// 2026-01-01T00:00:00Z.
fn now() -> Timestamp {
    Timestamp::from_seconds(1_767_225_600)
}

pub(super) fn access_claims() -> AccessClaims {
    AccessClaims {
        user: UserId::parse("01KDVDNA00A0A0A0A0A0A0A0A1").unwrap(),
        session: SessionId::parse("01KDVDNA00B0B0B0B0B0B0B0B2").unwrap(),
        id: TokenId::parse("01KDVDNA00C0C0C0C0C0C0C0C3").unwrap(),
        issued_at: now(),
        expires_at: now() + Duration::from_secs(300),
        client_id: "goat".to_owned(),
        authenticated_at: now() - Duration::from_secs(60),
        amr: vec!["pwd".to_owned()],
        acr: Some(Assurance::Single),
        revisions: Revisions { user: 12, roles: 7 },
        epoch: 3,
        permissions: None,
        attributes: Attributes::default(),
    }
}

fn refresh_claims() -> RefreshClaims {
    let AccessClaims { user, session, id, issued_at, expires_at, epoch, .. } = access_claims();
    RefreshClaims { user, session, id, epoch, issued_at, expires_at }
}

/// The outcome of a verification.
fn outcome<T>(result: Result<T, crate::Error>) -> Result<(), ErrorKind> {
    result.map(drop).map_err(|error| error.kind())
}

/// The members of a JSON object for writing: names without quotes, values as text.
#[derive(Clone)]
struct Members(Vec<(String, String)>);

impl Members {
    fn of(members: &[(&str, &str)]) -> Self {
        Self(members.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// Replaces the value of an existing member.
    fn with(mut self, name: &str, value: &str) -> Self {
        let member = self.0.iter_mut().find(|member| member.0 == name);
        value.clone_into(&mut member.unwrap().1);
        self
    }

    /// Appends a member, also if the name exists.
    fn and(mut self, name: &str, value: &str) -> Self {
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        let before = self.0.len();
        self.0.retain(|member| member.0 != name);
        assert_eq!(self.0.len() + 1, before, "{name} was there");
        self
    }

    fn json(&self) -> String {
        let members: Vec<_> =
            self.0.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    }
}

/// Signs arbitrary input with a key that the verifiers accept.
struct Forge {
    algorithm: Algorithm,
    key: EncodingKey,
    tokens: Tokens,
    /// An offline verifier with the public keys, if there are any, which must always agree.
    verifier: Option<Verifier>,
}

impl Forge {
    fn hs256() -> Self {
        let key = EncodingKey::from_secret(SECRET).unwrap();
        Self { algorithm: Algorithm::HS256, key, tokens: tokens(hs256()), verifier: None }
    }

    fn eddsa() -> Self {
        let der = ::pem::parse(RFC_8037_PRIVATE).unwrap();
        let key = EncodingKey::from_ed_der(der.contents());
        let (verifier, _) = verifier(&eddsa());
        let verifier = Some(verifier);
        Self { algorithm: Algorithm::EdDSA, key, tokens: tokens(eddsa()), verifier }
    }

    fn both() -> [Self; 2] {
        [Self::hs256(), Self::eddsa()]
    }

    /// The header of a valid access token.
    fn header(&self) -> Members {
        Members::of(&[
            ("alg", &format!("\"{:?}\"", self.algorithm)),
            ("typ", "\"at+jwt\""),
            ("kid", &format!("\"{}\"", self.tokens.signing_key())),
        ])
    }

    /// The payload of a valid token.
    fn payload() -> Members {
        Members::of(&[
            ("iss", "\"goat\""),
            ("aud", "\"goat-api\""),
            ("sub", "\"01KDVDNA00A0A0A0A0A0A0A0A1\""),
            ("sid", "\"01KDVDNA00B0B0B0B0B0B0B0B2\""),
            ("jti", "\"01KDVDNA00C0C0C0C0C0C0C0C3\""),
            ("iat", "1767225600"),
            ("nbf", "1767225600"),
            ("exp", "1767225900"),
            ("client_id", "\"goat\""),
            ("auth_time", "1767225540"),
            ("amr", "[\"pwd\"]"),
            ("acr", "\"single\""),
            ("rev", "[12,7]"),
            ("epoch", "3"),
        ])
    }

    /// The payload of a valid refresh token.
    fn refresh_payload() -> Members {
        let names = ["client_id", "auth_time", "amr", "acr", "rev"];
        let payload = names.into_iter().fold(Self::payload(), Members::without);
        payload.with("aud", "\"goat\"")
    }

    /// Encodes and signs header and payload.
    fn sign(&self, header: &str, payload: &str) -> String {
        self.seal(&URL_SAFE_NO_PAD.encode(header), &URL_SAFE_NO_PAD.encode(payload))
    }

    /// Signs header and payload that are already encoded, validly or not.
    fn seal(&self, header: &str, payload: &str) -> String {
        let message = format!("{header}.{payload}");
        let signature = crypto::sign(message.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }

    fn with_header(&self, header: &Members) -> String {
        self.sign(&header.json(), &Self::payload().json())
    }

    fn with_payload(&self, payload: &Members) -> String {
        self.sign(&self.header().json(), &payload.json())
    }

    /// Verifies an access token, by all verifiers.
    fn access(&self, token: &str) -> Result<(), ErrorKind> {
        let ours = outcome(self.tokens.verify_access(token, now()));
        if let Some(verifier) = &self.verifier {
            assert_eq!(outcome(verifier.verify(token)), ours, "the verifiers disagree: {token}");
        }
        ours
    }

    /// Number of cached tokens, over all verifiers.
    fn cached(&self) -> usize {
        self.tokens.cached() + self.verifier.as_ref().map_or(0, Verifier::cached)
    }

    /// Asserts that the token is refused, also when presented again.
    fn assert_refused(&self, token: &str, why: &str) {
        let cached = self.cached();
        for _ in 0..2 {
            assert_eq!(self.access(token), Err(ErrorKind::InvalidToken), "{why}");
        }
        assert_eq!(self.cached(), cached, "{why}");
    }
}

#[test]
fn the_forge_makes_valid_tokens() {
    for forge in Forge::both() {
        let token = forge.with_payload(&Forge::payload());
        assert_eq!(*forge.tokens.verify_access(&token, now()).unwrap(), access_claims());
        assert_eq!(forge.tokens.sign_access(&access_claims()).unwrap(), token);
    }
}
