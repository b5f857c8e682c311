//! Token of a link: the id of a challenge and its secret, as one text.

use std::fmt;

use crate::id::ChallengeId;
use crate::secret::Secret;

use super::secret::{ChallengeSecret, LENGTH};

/// The length of an id.
const ID: usize = 26;

/// The token that a link carries: the id of a challenge and a secret of 256 bits, 78 characters of upper-case
/// Crockford base 32. It works once. `Debug` redacts it.
#[derive(Clone)]
pub struct LinkToken {
    id: ChallengeId,
    secret: Secret<String>,
}

impl LinkToken {
    pub(crate) fn new(id: ChallengeId, secret: &ChallengeSecret) -> Self {
        Self { id, secret: secret.text.clone() }
    }

    /// Parses a token by its form. Whether it is right, only the store knows.
    ///
    /// ```
    /// use goat_core::challenge::LinkToken;
    ///
    /// assert!(LinkToken::parse("01KDWMBY00C8X0F4ZCV7J3T9QH").is_none());
    /// ```
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.split_at_checked(ID)?;
        let is_part = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
        let is_secret = secret.len() == LENGTH && secret.bytes().all(is_part);
        is_secret.then_some(())?;
        Some(Self { id: ChallengeId::parse(id).ok()?, secret: secret.into() })
    }

    /// Returns the text, for the link.
    #[must_use]
    pub fn text(&self) -> Secret<String> {
        // With its whole capacity, so that no copy is left behind by an allocation that grows.
        let mut text = String::with_capacity(ID + LENGTH);
        text.push_str(&self.id.to_string());
        text.push_str(self.secret.expose());
        Secret::new(text)
    }

    /// Returns the id of the challenge.
    #[must_use]
    pub fn challenge(&self) -> ChallengeId {
        self.id
    }

    pub(crate) fn secret(&self) -> &Secret<String> {
        &self.secret
    }
}

/// Without the secret.
impl fmt::Debug for LinkToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LinkToken").field("challenge", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn token_of_a_link_is_parsed_in_one_spelling() {
        let id = ChallengeId::generate(Timestamp::from_millis(1));
        let token = LinkToken::new(id, &ChallengeSecret::generate());
        let text = token.text();
        assert_eq!(text.expose().len(), 78);
        let parsed = LinkToken::parse(text.expose()).expect("a token");
        assert_eq!(parsed.challenge(), id);
        assert!(parsed.secret().is_same_as(token.secret()));
        assert!(!format!("{parsed:?}").contains(token.secret().expose().as_str()));
        let text = text.expose().as_str();
        for wrong in [
            text.to_lowercase(),
            format!("{text}0"),
            text[..77].to_owned(),
            format!(" {}", &text[..77]),
            format!("Z{}", &text[1..]),
            format!("{}\u{e9}", &text[..76]),
            String::new(),
        ] {
            assert!(LinkToken::parse(&wrong).is_none(), "{wrong}");
        }
    }
}
