//! Validity periods: J5, to the millisecond, in both directions.

use super::*;

const MILLISECOND: Duration = Duration::from_millis(1);

fn with_leeway(seconds: u64) -> Tokens {
    let leeway = Duration::from_secs(seconds);
    Tokens::new(hs256(), TokenSettings::new("goat", "goat-api", leeway).unwrap())
}

/// J5.
#[test]
fn a_token_expires_the_leeway_after_its_expiry() {
    for seconds in [0, 5, 30] {
        let tokens = with_leeway(seconds);
        let end = access_claims().expires_at + Duration::from_secs(seconds);
        let access = tokens.sign_access(&access_claims()).unwrap();
        let refresh = tokens.sign_refresh(&refresh_claims(), tokens.signing_key()).unwrap();
        // First without, then with the cache.
        for _ in 0..2 {
            assert_eq!(outcome(tokens.verify_access(&access, end - MILLISECOND)), Ok(()));
            assert_eq!(outcome(tokens.verify_access(&access, end)), Err(ErrorKind::TokenExpired));
        }
        assert_eq!(outcome(tokens.verify_refresh(&refresh, end - MILLISECOND)), Ok(()));
        assert_eq!(outcome(tokens.verify_refresh(&refresh, end)), Err(ErrorKind::TokenExpired));
    }
}

/// J5.
#[test]
fn a_token_is_valid_the_leeway_before_its_time() {
    for seconds in [0, 5, 30] {
        let tokens = with_leeway(seconds);
        let begin = now() - Duration::from_secs(seconds);
        let access = tokens.sign_access(&access_claims()).unwrap();
        let refresh = tokens.sign_refresh(&refresh_claims(), tokens.signing_key()).unwrap();
        for _ in 0..2 {
            let early = tokens.verify_access(&access, begin - MILLISECOND);
            assert_eq!(outcome(early), Err(ErrorKind::InvalidToken));
            assert_eq!(outcome(tokens.verify_access(&access, begin)), Ok(()));
        }
        let early = tokens.verify_refresh(&refresh, begin - MILLISECOND);
        assert_eq!(outcome(early), Err(ErrorKind::InvalidToken));
        assert_eq!(outcome(tokens.verify_refresh(&refresh, begin)), Ok(()));
    }
}

/// J5: `iat` and `nbf` are checked separately.
#[test]
fn iat_and_nbf_in_the_future_are_refused() {
    let forge = Forge::hs256();
    for name in ["iat", "nbf"] {
        let at = |seconds: &str| forge.with_payload(&Forge::payload().with(name, seconds));
        assert_eq!(forge.access(&at("1767225605")), Ok(()), "{name}");
        forge.assert_refused(&at("1767225606"), name);
    }
}

#[test]
fn a_token_that_expires_before_its_issue_is_refused() {
    let forge = Forge::hs256();
    let until = |seconds: &str| forge.with_payload(&Forge::payload().with("exp", seconds));
    assert_eq!(forge.access(&until("1767225601")), Ok(()));
    forge.assert_refused(&until("1767225600"), "at once");
    forge.assert_refused(&until("1767225599"), "before");
    forge.assert_refused(&until("0"), "long before");
}

/// Only an otherwise valid token is reported as expired: this tells a client to refresh, and an
/// attacker nothing.
#[test]
fn an_invalid_token_is_not_reported_as_expired() {
    for forge in Forge::both() {
        let later = now() + Duration::from_secs(3600);
        let verify = |token: &str| outcome(forge.tokens.verify_access(token, later));
        let token = forge.with_payload(&Forge::payload());
        assert_eq!(verify(&token), Err(ErrorKind::TokenExpired));
        let (message, signature) = token.rsplit_once('.').unwrap();
        let other = if signature.starts_with('A') { 'B' } else { 'A' };
        let forged = format!("{message}.{other}{}", &signature[1..]);
        assert_eq!(verify(&forged), Err(ErrorKind::InvalidToken));
        for payload in [
            Forge::payload().without("sub"),
            Forge::payload().with("iss", "\"other\""),
            Forge::payload().and("exp", "1767225900"),
        ] {
            assert_eq!(verify(&forge.with_payload(&payload)), Err(ErrorKind::InvalidToken));
        }
    }
}

/// J5.
#[test]
fn the_leeway_is_at_most_thirty_seconds() {
    let new = |leeway| TokenSettings::new("goat", "goat-api", leeway).map(|_| ());
    assert!(new(Duration::ZERO).is_ok());
    assert!(new(Duration::from_secs(30)).is_ok());
    let error = new(Duration::from_millis(30_001)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert_eq!(TokenSettings::default().clock_leeway(), Duration::from_secs(5));
}

#[test]
fn issuer_and_audience_are_short_and_printable() {
    let new = |issuer: &str, audience: &str| {
        outcome(TokenSettings::new(issuer, audience, Duration::ZERO))
    };
    let long = "x".repeat(256);
    assert_eq!(new(&long[1..], &long[1..]), Ok(()));
    for bad in ["", "a\nb", "a\u{7f}", &long] {
        assert_eq!(new(bad, "goat-api"), Err(ErrorKind::Configuration));
        assert_eq!(new("goat", bad), Err(ErrorKind::Configuration));
    }
}
