//! Cache of verified tokens.

use std::sync::Arc;

use super::*;

#[test]
fn a_verified_token_is_cached() {
    for keys in [hs256(), eddsa()] {
        let tokens = tokens(keys);
        let token = tokens.sign_access(&access_claims()).unwrap();
        let first = tokens.verify_access(&token, now()).unwrap();
        let second = tokens.clone().verify_access(&token, now()).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(tokens.cached(), 1);
    }
}

/// J8: only the exact bytes are cached.
#[test]
fn another_spelling_of_a_cached_token_is_refused() {
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

/// J3, for cached tokens.
#[test]
fn a_cached_access_token_is_not_accepted_as_a_refresh_token() {
    let tokens = tokens(eddsa());
    let token = tokens.sign_access(&access_claims()).unwrap();
    tokens.verify_access(&token, now()).unwrap();
    assert_eq!(outcome(tokens.verify_refresh(&token, now())), Err(ErrorKind::InvalidToken));
}

/// J7: a cache belongs to its key ring.
#[test]
fn the_cache_is_not_shared_with_other_keys() {
    let before = tokens(eddsa());
    let token = before.sign_access(&access_claims()).unwrap();
    before.verify_access(&token, now()).unwrap();
    let after = tokens(TokenKeys::generate());
    assert_eq!(outcome(after.verify_access(&token, now())), Err(ErrorKind::InvalidToken));
}

#[test]
fn a_token_that_is_not_yet_valid_is_not_cached() {
    let tokens = tokens(hs256());
    let token = tokens.sign_access(&access_claims()).unwrap();
    let early = now() - Duration::from_secs(6);
    assert!(tokens.verify_access(&token, early).is_err());
    assert_eq!(tokens.cached(), 0);
}
