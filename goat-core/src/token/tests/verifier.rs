//! Offline verification: as strict as goat itself, except for the session.

use std::error::Error as _;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Waker};

use proptest::prelude::*;

use super::*;
use crate::access::Permission;
use crate::testing::TestGoat;
use crate::token::UnknownKey;
use crate::{Settings, Stores};

fn signed(keys: &TokenKeys, permissions: Option<&[&str]>) -> String {
    let permissions = permissions.map(|list| list.iter().map(ToString::to_string).collect());
    tokens(keys.clone()).sign_access(&AccessClaims { permissions, ..access_claims() }).unwrap()
}

fn jwks(keys: &TokenKeys) -> String {
    keys.jwks().to_string()
}

/// Whether a waiter for unknown keys is notified now.
fn notified(verifier: &Verifier) -> bool {
    let waiting = std::pin::pin!(verifier.unknown_key());
    waiting.poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

#[test]
fn a_token_gives_the_principal_of_its_claims() {
    let (verifier, _) = verifier(&eddsa());
    let principal = verifier.verify(&signed(&eddsa(), Some(&["report:read"]))).unwrap();
    let claims = access_claims();
    assert_eq!((principal.user(), principal.session()), (claims.user, claims.session));
    assert_eq!(
        (principal.issued_at(), principal.expires_at()),
        (claims.issued_at, claims.expires_at)
    );
    // J10
    assert_eq!(principal.client_id(), claims.client_id);
    assert_eq!(principal.authenticated_at(), claims.authenticated_at);
    assert!(principal.may(&Permission::new("report:read")));
    assert!(!principal.may(&Permission::new("report:write")));
    let shown = format!("{principal:?} {verifier:?}");
    assert!(shown.contains(&claims.user.to_string()) && shown.contains(eddsa().signing_key()));
}

/// J3.
#[test]
fn a_refresh_token_is_refused() {
    let (verifier, _) = verifier(&eddsa());
    let tokens = tokens(eddsa());
    let refresh = tokens.sign_refresh(&refresh_claims(), tokens.signing_key()).unwrap();
    assert_eq!(outcome(verifier.verify(&refresh)), Err(ErrorKind::InvalidToken));
}

/// J4: tokens of another issuer, or for another service.
#[test]
fn issuer_and_audience_must_match_the_verifier() {
    let token = signed(&eddsa(), None);
    for (issuer, audience, expected) in [
        ("goat", "goat-api", Ok(())),
        ("goat", "other", Err(ErrorKind::InvalidToken)),
        ("other", "goat-api", Err(ErrorKind::InvalidToken)),
    ] {
        let settings = TokenSettings::new(issuer, audience, Duration::ZERO).unwrap();
        let clock = Arc::new(ManualClock::default());
        let verifier = Verifier::with_clock(jwks(&eddsa()), settings, clock).unwrap();
        assert_eq!(outcome(verifier.verify(&token)), expected, "{issuer} {audience}");
    }
}

/// J5: also for cached tokens, and to the millisecond.
#[test]
fn an_expired_token_stays_expired() {
    let (verifier, clock) = verifier(&eddsa());
    let token = signed(&eddsa(), None);
    clock.advance(Duration::from_millis(304_999));
    for _ in 0..2 {
        assert_eq!(outcome(verifier.verify(&token)), Ok(()));
    }
    assert_eq!(verifier.cached(), 1);
    clock.advance(Duration::from_millis(1));
    assert_eq!(outcome(verifier.verify(&token)), Err(ErrorKind::TokenExpired));
    // O6
    clock.set_wall_clock(now());
    assert_eq!(outcome(verifier.verify(&token)), Err(ErrorKind::TokenExpired));
}

/// J7.
#[test]
fn keys_follow_the_replaced_set() {
    let (old, new) = (TokenKeys::generate_pem(), TokenKeys::generate_pem());
    let keys = |pems: &[&Secret<String>]| {
        TokenKeys::eddsa(&pems.iter().map(|&pem| pem.clone()).collect::<Vec<_>>()).unwrap()
    };
    let (before, during, after) = (keys(&[&old]), keys(&[&new, &old]), keys(&[&new]));
    let (verifier, _) = verifier(&before);
    let other = verifier.clone();
    let (first, second) = (signed(&before, None), signed(&during, None));
    let outcomes = || [&first, &second].map(|token| outcome(other.verify(token)));
    let refused = Err(ErrorKind::InvalidToken);

    assert_eq!(outcomes(), [Ok(()), refused]);
    assert_eq!(verifier.replace_keys(jwks(&during)).ok(), Some(true));
    assert_eq!(verifier.cached(), 0, "the cache is cleared with its keys");
    assert_eq!(outcomes(), [Ok(()), Ok(())]);
    assert_eq!(verifier.replace_keys(jwks(&after)).ok(), Some(true));
    assert_eq!(outcomes(), [refused, Ok(())]);
}

#[test]
fn an_unchanged_set_has_no_effect() {
    let keys = TokenKeys::eddsa(&[TokenKeys::generate_pem(), pem(RFC_8037_PUBLIC)]).unwrap();
    let (verifier, _) = verifier(&keys);
    verifier.verify(&signed(&keys, None)).unwrap();
    let mut reversed = keys.jwks();
    reversed["keys"].as_array_mut().unwrap().reverse();
    for same in [keys.jwks(), reversed] {
        assert_eq!(verifier.replace_keys(same.to_string()).ok(), Some(false));
        assert_eq!(verifier.cached(), 1);
    }
    assert_eq!(verifier.replace_keys(jwks(&eddsa())).ok(), Some(true), "a removed key is a change");
    assert_eq!(verifier.cached(), 0);
}

#[test]
fn an_invalid_document_keeps_the_old_keys() {
    let (verifier, _) = verifier(&eddsa());
    let token = signed(&eddsa(), None);
    for bad in ["", "{}", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct","k":"AA"}]}"#] {
        let error = verifier.replace_keys(bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert_eq!(outcome(verifier.verify(&token)), Ok(()));
        assert_eq!(verifier.key_ids(), [eddsa().signing_key()]);
    }
}

/// J7: during replacements a token is verified by one set or the other, and afterwards by the last
/// one.
#[test]
fn keys_are_replaced_while_tokens_are_verified() {
    let (one, two) = (TokenKeys::generate(), TokenKeys::generate());
    let both = {
        let mut set = one.jwks();
        let other = two.jwks()["keys"][0].clone();
        set["keys"].as_array_mut().unwrap().push(other);
        set.to_string()
    };
    let (verifier, _) = verifier(&one);
    let (always, sometimes) = (signed(&one, None), signed(&two, None));
    let (done, begin) = (AtomicBool::new(false), Barrier::new(5));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                begin.wait();
                while !done.load(SeqCst) {
                    assert_eq!(outcome(verifier.verify(&always)), Ok(()));
                    let result = outcome(verifier.verify(&sometimes));
                    assert!(matches!(result, Ok(()) | Err(ErrorKind::InvalidToken)));
                }
            });
        }
        begin.wait();
        for _ in 0..500 {
            assert_eq!(verifier.replace_keys(&both).ok(), Some(true));
            assert_eq!(outcome(verifier.verify(&sometimes)), Ok(()));
            assert_eq!(verifier.replace_keys(jwks(&one)).ok(), Some(true));
            assert_eq!(outcome(verifier.verify(&sometimes)), Err(ErrorKind::InvalidToken));
        }
        done.store(true, SeqCst);
    });
    assert_eq!(outcome(verifier.verify(&always)), Ok(()));
    assert_eq!(verifier.cached(), 1, "only of the last keys");
}

/// A6: by the same evaluation as in goat.
#[test]
fn permissions_are_evaluated_as_in_goat() {
    let (verifier, _) = verifier(&eddsa());
    let [read, write, other] = ["report:read", "report:write", "user:read"].map(Permission::new);
    for (permissions, allowed) in [
        (&["report:read"][..], [true, false, false]),
        (&["report:*"], [true, true, false]),
        (&["full_access"], [true, true, true]),
        (&[], [false, false, false]),
        (&["user:read", "report:write"], [false, true, true]),
        // Invalid permissions grant nothing and do not affect the others.
        (
            &["*", "*:*", "report", "report:", "Full_Access", "full_access ", "report:re*"],
            [false; 3],
        ),
        (&["", "report:read", "\0"], [true, false, false]),
    ] {
        let principal = verifier.verify(&signed(&eddsa(), Some(permissions))).unwrap();
        assert_eq!(
            [&read, &write, &other].map(|one| principal.may(one)),
            allowed,
            "{permissions:?}"
        );
        assert!(principal.rights().is_some());
    }
    let silent = verifier.verify(&signed(&eddsa(), None)).unwrap();
    assert!(silent.rights().is_none());
    assert!(!silent.may(&read) && !silent.may(&Permission::FULL_ACCESS));
}

/// Notification of unknown keys, and its rate.
#[test]
fn notifications_of_unknown_keys_are_rate_limited() {
    let (verifier, clock) = verifier(&eddsa());
    let forged = signed(&TokenKeys::generate(), None);
    assert!(!notified(&verifier));

    let error = verifier.verify(&forged).unwrap_err();
    assert!(error.source().unwrap().is::<UnknownKey>());
    for _ in 0..1000 {
        verifier.verify(&signed(&TokenKeys::generate(), None)).unwrap_err();
    }
    assert_eq!(verifier.unknown_keys(), 1001);
    // One notification covers all tokens that arrived before the wait.
    assert!(notified(&verifier.clone()));
    assert!(!notified(&verifier));
    // Other keys and failures do not cause an early notification.
    verifier.replace_keys("{}").unwrap_err();
    verifier.replace_keys(jwks(&TokenKeys::generate())).unwrap();
    clock.advance(Verifier::UNKNOWN_KEY_INTERVAL - Duration::from_millis(1));
    verifier.verify(&forged).unwrap_err();
    assert!(!notified(&verifier));
    clock.advance(Duration::from_millis(1));
    assert!(!notified(&verifier), "no token since");
    verifier.verify(&forged).unwrap_err();
    assert!(notified(&verifier));

    // The interval starts with the notification, not with the token.
    clock.advance(Verifier::UNKNOWN_KEY_INTERVAL);
    verifier.verify(&forged).unwrap_err();
    clock.advance(Verifier::UNKNOWN_KEY_INTERVAL);
    assert!(notified(&verifier));
    verifier.verify(&forged).unwrap_err();
    assert!(!notified(&verifier));
}

/// The token wakes a waiter; a dropped waiter does not consume the notification.
#[test]
fn an_unknown_key_wakes_a_waiter() {
    let (verifier, _) = verifier(&eddsa());
    let mut context = Context::from_waker(Waker::noop());
    let mut given_up = Box::pin(verifier.unknown_key());
    assert!(given_up.as_mut().poll(&mut context).is_pending());
    let mut waiting = Box::pin(verifier.unknown_key());
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    verifier.verify(&signed(&TokenKeys::generate(), None)).unwrap_err();
    drop(given_up);
    assert!(waiting.as_mut().poll(&mut context).is_ready());
}

/// Each woken waiter would fetch the keys.
#[test]
fn unknown_keys_wake_one_waiter() {
    let (verifier, _) = verifier(&eddsa());
    let mut context = Context::from_waker(Waker::noop());
    let mut waiting = [Box::pin(verifier.unknown_key()), Box::pin(verifier.unknown_key())];
    let mut woken = || {
        let polls = waiting.iter_mut().map(|one| one.as_mut().poll(&mut context).is_ready());
        polls.filter(|woken| *woken).count()
    };
    assert_eq!(woken(), 0);
    for _ in 0..3 {
        verifier.verify(&signed(&TokenKeys::generate(), None)).unwrap_err();
    }
    assert_eq!(woken(), 1);
}

/// A token that this issuer cannot have signed is no reason to fetch its keys.
#[test]
fn only_plausible_tokens_count_as_unknown_keys() {
    let forge = Forge::eddsa();
    let verifier = forge.verifier.as_ref().unwrap();
    let unknown = || forge.header().with("kid", "\"unknown\"");
    for header in [
        unknown().with("alg", "\"HS256\""),
        unknown().with("alg", "\"none\""),
        unknown().with("typ", "\"rt+jwt\""),
        unknown().with("typ", "\"JWT\""),
        unknown().and("jku", "\"https://evil.example/jwks\""),
        unknown().and("kid", "\"again\""),
    ] {
        forge.assert_refused(&forge.with_header(&header), &header.json());
    }
    // Neither is an invalid token with a known key.
    forge.assert_refused(&forge.with_payload(&Forge::payload().without("sub")), "no sub");
    forge.assert_refused(&(forge.with_payload(&Forge::payload()) + "A"), "no signature");
    assert_eq!((verifier.unknown_keys(), notified(verifier)), (0, false));
    forge.assert_refused(&forge.with_header(&unknown()), "unknown");
    assert_eq!((verifier.unknown_keys(), notified(verifier)), (2, true));
}

/// As documented: offline verification does not see that a session has ended.
#[tokio::test]
async fn a_token_of_an_ended_session_verifies_until_it_expires() {
    let issuer = TestGoat::build(Stores::memory(), |goat| {
        goat.settings(Settings { access_token_permissions: true, ..Settings::default() })
    });
    let alice = issuer.sign_in("alice", [Permission::new("report:read")]).await;
    let clock = Arc::new(issuer.clock.clone());
    let jwks = issuer.goat.jwks().to_string();
    let verifier = Verifier::with_clock(jwks, TokenSettings::default(), clock).unwrap();
    let token = alice.access_token();
    let principal = issuer.goat.authenticate_token(token).await.unwrap();
    issuer.goat.logout(&principal, &crate::session::Origin::default()).await.unwrap();

    let live = || async { outcome(issuer.goat.authenticate_token(token).await) };
    assert_eq!(live().await, Err(ErrorKind::SessionRevoked));
    assert!(verifier.verify(token).unwrap().may(&Permission::new("report:read")));
    // The bound: the TTL of an access token plus the leeway.
    let bound = Settings::default().access_ttl + TokenSettings::DEFAULT_CLOCK_LEEWAY;
    issuer.clock.advance(bound - Duration::from_millis(1));
    assert_eq!(outcome(verifier.verify(token)), Ok(()));
    issuer.clock.advance(Duration::from_millis(1));
    assert_eq!(outcome(verifier.verify(token)), Err(ErrorKind::TokenExpired));
}

/// Members of headers and payloads, and plausible values.
fn member() -> impl Strategy<Value = (&'static str, String)> {
    let name = prop::sample::select(
        &[
            "alg",
            "typ",
            "kid",
            "crit",
            "iss",
            "aud",
            "sub",
            "sid",
            "jti",
            "iat",
            "nbf",
            "exp",
            "permissions",
            "new",
        ][..],
    );
    let value = prop_oneof![
        prop::sample::select(
            &[
                "null",
                "true",
                "0",
                "-1",
                "1767225600",
                "1767225900",
                "1767225600.0",
                "\"\"",
                "[]",
                "{}",
                "\"goat\"",
                "\"goat-api\"",
                "\"EdDSA\"",
                "\"at+jwt\"",
                "\"none\"",
                "\"01KDVDNA00A0A0A0A0A0A0A0A1\"",
                "[\"report:read\"]",
                "[1]"
            ][..],
        )
        .prop_map(str::to_owned),
        (1_767_225_000_u64..1_767_226_500).prop_map(|seconds| seconds.to_string()),
        "[a-z\"\\[\\]{}:,0-9]{0,6}",
    ];
    (name, value)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// J1 to J5, J8: for any change of a token, before or after signing, and at any time, both
    /// verifications agree; also the second time.
    #[test]
    fn offline_verification_agrees_with_the_issuer(
        changes in prop::collection::vec((any::<bool>(), 0..3_u8, member()), 0..3),
        flip in prop::option::of((any::<prop::sample::Index>(), "[-A-Za-z0-9_.=]")),
        milliseconds in 0..700_000_u64,
        early in any::<bool>(),
    ) {
        let forge = Forge::eddsa();
        let (mut header, mut payload) = (forge.header(), Forge::payload());
        for (in_header, change, (name, value)) in changes {
            let members = if in_header { &mut header } else { &mut payload };
            match (members.0.iter_mut().find(|member| member.0 == name), change) {
                (Some(member), 0) => member.1 = value,
                (Some(_), 1) => members.0.retain(|member| member.0 != name),
                _ => members.0.push((name.to_owned(), value)),
            }
        }
        let mut token = forge.sign(&header.json(), &payload.json());
        if let Some((at, character)) = flip {
            let at = at.index(token.len());
            token.replace_range(at..=at, &character);
        }
        let (verifier, clock) = verifier(&eddsa());
        let time = if early {
            let time = now() - Duration::from_millis(milliseconds % 10_000);
            clock.set_wall_clock(time);
            // A verifier started at that time, since its time never runs backwards.
            let settings = TokenSettings::default();
            let early = Verifier::with_clock(jwks(&eddsa()), settings, Arc::new(clock)).unwrap();
            for _ in 0..2 {
                let ours = outcome(forge.tokens.verify_access(&token, time));
                prop_assert_eq!(outcome(early.verify(&token)), ours);
            }
            return Ok(());
        } else {
            clock.advance(Duration::from_millis(milliseconds));
            now() + Duration::from_millis(milliseconds)
        };
        for _ in 0..2 {
            let ours = outcome(forge.tokens.verify_access(&token, time));
            prop_assert_eq!(outcome(verifier.verify(&token)), ours);
        }
    }
}
