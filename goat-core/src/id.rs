//! Identifiers: ULIDs in newtypes, so that ids of different kinds cannot be confused.
//!
//! A ULID is an identifier and never a secret: knowing one grants nothing. Its only text form is
//! the canonical 26 upper-case characters, so that two spellings never name one row.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ulid::Ulid;

use crate::clock::Timestamp;

/// Error: a text is not a canonical ULID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidId;

impl fmt::Display for InvalidId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(
            "must be a ULID: 26 characters of upper-case Crockford Base32, the first of them 0 to 7",
        )
    }
}

impl std::error::Error for InvalidId {}

/// Parses the canonical form only.
fn parse(text: &str) -> Result<Ulid, InvalidId> {
    let ulid = Ulid::from_string(text).map_err(|_| InvalidId)?;
    let mut buffer = [0; ulid::ULID_LEN];
    if ulid.array_to_str(&mut buffer) == text { Ok(ulid) } else { Err(InvalidId) }
}

/// Sets the version and the variant of a UUID, for validators that check them: both formats begin with 48
/// bits of milliseconds.
const fn uuid_v7(ulid: Ulid) -> Ulid {
    const VERSION: u128 = 0xf << 76;
    const VARIANT: u128 = 0x3 << 62;
    Ulid(ulid.0 & !VERSION & !VARIANT | 0x7 << 76 | 0x2 << 62)
}

macro_rules! identifiers {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Ulid);

        impl $name {
            /// Generates a new identifier that sorts by `now`. As a number it is a UUID of version 7
            /// (RFC 9562 §5.7).
            ///
            /// # Panics
            ///
            /// If the operating system has no randomness to give.
            #[must_use]
            pub fn generate(now: Timestamp) -> Self {
                let milliseconds = u64::try_from(now.as_millis()).unwrap_or(0);
                Self(uuid_v7(Ulid::from_parts(milliseconds, crate::secret::random::<u128>())))
            }

            /// Parses the canonical form: 26 characters, upper case, the first of them 0 to 7.
            ///
            /// # Errors
            ///
            /// Any other text, also another spelling of the same number.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                parse(text).map(Self)
            }

            /// The creation time, if [`Self::generate`] made this identifier; it sorts by this
            /// time.
            #[must_use]
            pub fn made_at(self) -> Timestamp {
                Timestamp::from_millis(self.0.timestamp_ms().cast_signed())
            }

            /// Converts a number to an identifier, for stores that keep numbers.
            #[must_use]
            pub const fn from_u128(number: u128) -> Self {
                Self(Ulid(number))
            }

            /// The identifier as a number.
            #[must_use]
            pub const fn as_u128(self) -> u128 {
                self.0.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut buffer = [0; ulid::ULID_LEN];
                formatter.pad(self.0.array_to_str(&mut buffer))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, formatter)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::parse(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    )*};
}

identifiers! {
    /// Identifies a user.
    UserId;
    /// Identifies a session: one sign-in on one device.
    SessionId;
    /// Identifies a token: the `jti` claim of RFC 7519 §4.1.7.
    TokenId;
    /// Identifies a permission granted to a role.
    GrantId;
    /// Identifies a challenge.
    ChallengeId;
    /// Identifies an API key.
    KeyId;
    /// Identifies a second factor.
    FactorId;
}

/// The bits that a session has in common with those that replace it. The other random ones, 34, and the time
/// tell the sessions apart.
const LINEAGE: u128 = (1 << 40) - 1;

impl SessionId {
    /// Generates the identifier of the session that replaces this one. The rate limits by session count both
    /// as one.
    pub(crate) fn successor(self, now: Timestamp) -> Self {
        Self::from_u128(Self::generate(now).as_u128() & !LINEAGE | self.as_u128() & LINEAGE)
    }

    /// What the session has in common with those that replace it, for the rate limits by session.
    pub(crate) const fn lineage(self) -> u128 {
        self.as_u128() & LINEAGE
    }
}

/// The credential behind a request: the session of a user, or an API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Credential {
    /// A session.
    Session(SessionId),
    /// An API key.
    Key(KeyId),
}

impl Credential {
    /// Returns the id as a number, for a message that names both kinds: of two credentials of different kinds
    /// it is the same only by a collision of 80 random bits.
    #[must_use]
    pub const fn as_u128(self) -> u128 {
        match self {
            Self::Session(session) => session.as_u128(),
            Self::Key(key) => key.as_u128(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_form_parses() {
        let id = UserId::generate(Timestamp::from_millis(1_700_000_000_000));
        let text = id.to_string();
        assert_eq!(UserId::parse(&text), Ok(id));
        assert_eq!(text.len(), 26);
        assert_eq!(UserId::parse(&text.to_lowercase()), Err(InvalidId));
        assert_eq!(UserId::parse("8ZZZZZZZZZZZZZZZZZZZZZZZZZ"), Err(InvalidId));
        assert_eq!(UserId::parse("0OZZZZZZZZZZZZZZZZZZZZZZZZ"), Err(InvalidId));
        assert_eq!(UserId::parse(""), Err(InvalidId));
        assert_eq!(UserId::parse(&format!("{text} ")), Err(InvalidId));
    }

    #[test]
    fn generated_ids_are_uuids_of_version_7() {
        for _ in 0..100 {
            let id = UserId::generate(Timestamp::from_millis(1_700_000_000_000));
            let number = id.as_u128();
            assert_eq!((number >> 76 & 0xf, number >> 62 & 0x3), (7, 2), "{number:x}");
            assert_eq!(id.made_at(), Timestamp::from_millis(1_700_000_000_000));
        }
    }

    #[test]
    fn a_successor_differs_and_has_the_lineage() {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let (first, other) = (SessionId::generate(now), SessionId::generate(now));
        assert_ne!(first.lineage(), other.lineage());
        let mut last = first;
        for _ in 0..100 {
            let next = last.successor(now);
            assert!(next != last && next != first);
            assert_eq!((next.lineage(), next.made_at()), (first.lineage(), now));
            let number = next.as_u128();
            assert_eq!((number >> 76 & 0xf, number >> 62 & 0x3), (7, 2), "{number:x}");
            last = next;
        }
    }

    #[test]
    fn ids_sort_by_creation_time() {
        let earlier = SessionId::generate(Timestamp::from_millis(1));
        let later = SessionId::generate(Timestamp::from_millis(2));
        assert!(earlier.to_string() < later.to_string());
    }
}
