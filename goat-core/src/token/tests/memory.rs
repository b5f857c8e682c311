//! What is remembered of verified tokens, and what is not.

use std::sync::Arc;

use super::*;

#[test]
fn a_verified_token_is_not_verified_again() {
    for keys in [hs256(), eddsa()] {
        let tokens = tokens(keys);
        let token = tokens.sign_access(&access_claims()).unwrap();
        let first = tokens.verify_access(&token, now()).unwrap();
        let second = tokens.clone().verify_access(&token, now()).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(tokens.remembered(), 1);
    }
}

/// J8: the very same bytes, or none of it.
#[test]
fn a_remembered_token_lends_its_verdict_to_no_other_spelling() {
    let forge = Forge::eddsa();
    let token = forge.with_payload(&Forge::payload());
    assert_eq!(forge.access(&token), Ok(()));
    let (message, _) = token.rsplit_once('.').unwrap();
    for bad in
        [format!("{token}="), format!("{token} "), format!("{message}.AA"), token.to_lowercase()]
    {
        forge.assert_refused(&bad, &bad);
    }
    assert_eq!(forge.access(&token), Ok(()));
}

/// J3, also from memory.
#[test]
fn a_remembered_access_token_is_no_refresh_token() {
    let tokens = tokens(eddsa());
    let token = tokens.sign_access(&access_claims()).unwrap();
    tokens.verify_access(&token, now()).unwrap();
    assert_eq!(outcome(tokens.verify_refresh(&token, now())), Err(ErrorKind::InvalidToken));
}

/// J7: a memory belongs to its keys.
#[test]
fn other_keys_remember_nothing() {
    let before = tokens(eddsa());
    let token = before.sign_access(&access_claims()).unwrap();
    before.verify_access(&token, now()).unwrap();
    let after = tokens(TokenKeys::generate());
    assert_eq!(outcome(after.verify_access(&token, now())), Err(ErrorKind::InvalidToken));
}

#[test]
fn a_token_that_is_not_good_yet_is_not_remembered() {
    let tokens = tokens(hs256());
    let token = tokens.sign_access(&access_claims()).unwrap();
    let early = now() - Duration::from_secs(6);
    assert!(tokens.verify_access(&token, early).is_err());
    assert_eq!(tokens.remembered(), 0);
}
