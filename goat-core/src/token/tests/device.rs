//! Device tokens: round trip, strictness, and separation from the other types of tokens.

use super::*;
use crate::token::DeviceClaims;

fn device_claims() -> DeviceClaims {
    let AccessClaims { user, id, issued_at, .. } = access_claims();
    DeviceClaims { user, id, issued_at, expires_at: issued_at + Duration::from_secs(180 * 86_400) }
}

/// The header of a valid device token.
fn header(forge: &Forge) -> Members {
    forge.header().with("typ", "\"dt+jwt\"")
}

/// The payload of a valid device token.
fn payload() -> Members {
    Forge::payload().without("sid").with("aud", "\"goat\"").with("exp", "1782777600")
}

impl Forge {
    fn device(&self, header: &Members, payload: &Members) -> Result<(), ErrorKind> {
        let token = self.sign(&header.json(), &payload.json());
        outcome(self.tokens.verify_device(&token, now()))
    }
}

#[test]
fn a_device_token_is_verified_until_it_expires() {
    for tokens in [tokens(hs256()), tokens(eddsa())] {
        let (claims, leeway) = (device_claims(), TokenSettings::DEFAULT_CLOCK_LEEWAY);
        let token = tokens.sign_device(&claims).unwrap();
        assert_eq!(tokens.verify_device(&token, now()).unwrap(), claims);
        let last = claims.expires_at + leeway - Duration::from_secs(1);
        assert_eq!(outcome(tokens.verify_device(&token, last)), Ok(()));
        let expired = tokens.verify_device(&token, claims.expires_at + leeway);
        assert_eq!(outcome(expired), Err(ErrorKind::TokenExpired));
        let early = tokens.verify_device(&token, now() - leeway - Duration::from_secs(1));
        assert_eq!(outcome(early), Err(ErrorKind::InvalidToken));
    }
}

/// D4: none of the three types passes for another, and each claim of a device token is required.
#[test]
fn a_device_token_passes_for_no_other_token() {
    for forge in Forge::both() {
        let tokens = &forge.tokens;
        let device = tokens.sign_device(&device_claims()).unwrap();
        let refresh = tokens.sign_refresh(&refresh_claims(), tokens.signing_key()).unwrap();
        let access = tokens.sign_access(&access_claims()).unwrap();
        assert_eq!(forge.access(&device), Err(ErrorKind::InvalidToken));
        let refused = Err(ErrorKind::InvalidToken);
        assert_eq!(outcome(tokens.verify_refresh(&device, now())), refused);
        for other in [access, refresh] {
            assert_eq!(outcome(tokens.verify_device(&other, now())), refused);
        }
        // Also with the claims of the others.
        assert_eq!(forge.device(&header(&forge), &payload()), Ok(()));
        for typ in ["\"at+jwt\"", "\"rt+jwt\"", "\"JWT\"", "\"DT+JWT\"", "[\"dt+jwt\"]"] {
            assert_eq!(forge.device(&header(&forge).with("typ", typ), &payload()), refused);
        }
        for claim in ["iss", "aud", "sub", "jti", "iat", "nbf", "exp"] {
            assert_eq!(forge.device(&header(&forge), &payload().without(claim)), refused);
        }
        for (claim, value) in
            [("aud", "\"goat-api\""), ("iss", "\"goat-api\""), ("exp", "1767225600"), ("sub", "1")]
        {
            let payload = payload().with(claim, value);
            assert_eq!(forge.device(&header(&forge), &payload), refused, "{claim}");
        }
    }
}

#[test]
fn a_device_token_of_other_keys_or_of_any_other_text_is_refused() {
    let tokens = tokens(hs256());
    let other = Tokens::new(TokenKeys::generate(), TokenSettings::default());
    let token = other.sign_device(&device_claims()).unwrap();
    for text in [token.as_str(), "", ".", "..", "a.b.c", "\0", &"x".repeat(9_000)] {
        let refused = Err(ErrorKind::InvalidToken);
        assert_eq!(outcome(tokens.verify_device(text, now())), refused);
    }
}
