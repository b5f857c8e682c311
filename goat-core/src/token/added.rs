//! Claims that an application adds to access tokens.
//!
//! Invariant: none replaces a claim that goat or a registered use decides on, and together they have at
//! most 1 KiB, so that a token stays within its size.

use serde::Serialize;
use serde_json::Value;

/// The most bytes of all added claims, as JSON.
const MOST_BYTES: usize = 1024;

/// Claims that goat writes (RFC 7519 §4.1, RFC 9068 §2.2), and those by which a verifier decides on the
/// rights of a token.
const RESERVED: [&str; 20] = [
    "iss",
    "aud",
    "sub",
    "sid",
    "jti",
    "iat",
    "nbf",
    "exp",
    "client_id",
    "auth_time",
    "rev",
    "permissions",
    "epoch",
    "scope",
    "cnf",
    "act",
    "may_act",
    "azp",
    "acr",
    "amr",
];

/// The prefix of claims that later versions of goat may write.
const RESERVED_PREFIX: &str = "goat_";

/// Claims of an application.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct AddedClaims(serde_json::Map<String, Value>);

impl AddedClaims {
    /// Parses claims: an object.
    ///
    /// # Errors
    ///
    /// The reason for which they cannot be added.
    pub(crate) fn parse(claims: Value) -> Result<Self, &'static str> {
        let Value::Object(claims) = claims else { return Err("they are not an object") };
        let is_reserved =
            |name: &String| RESERVED.contains(&&**name) || name.starts_with(RESERVED_PREFIX);
        if claims.keys().any(is_reserved) {
            return Err("one of them has a reserved name");
        }
        let added = Self(claims);
        match serde_json::to_vec(&added) {
            Ok(json) if json.len() <= MOST_BYTES => Ok(added),
            _ => Err("they are longer than 1 KiB"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_that_would_replace_a_registered_one_are_rejected() {
        for name in RESERVED.into_iter().chain(["goat_attributes"]) {
            let added = AddedClaims::parse(json!({ name: "x", "tenant": "t" }));
            assert_eq!(added, Err("one of them has a reserved name"), "{name}");
        }
        AddedClaims::parse(json!({ "tenant": "t", "Sub": 1 })).expect("other names");
        AddedClaims::parse(json!(["sub"])).expect_err("a list");
    }

    #[test]
    fn claims_have_at_most_1024_bytes() {
        let claims = |length: usize| json!({ "a": "b".repeat(length) });
        AddedClaims::parse(claims(1024 - 8)).expect("1024 bytes");
        AddedClaims::parse(claims(1024 - 7)).expect_err("one more");
    }
}
