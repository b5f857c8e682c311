//! Session values: the session, its refresh tokens and their rotation rule, and the session epoch.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::id::{SessionId, TokenId, UserId};
use crate::language::Languages;
use crate::limit::canonical_address;
use crate::proof::{Assurance, Method, Methods, ProofTimes};

/// The origin of a request, as far as the application knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The client's address.
    pub address: Option<IpAddr>,
    /// The client software, such as the `User-Agent`. Truncated to 256 characters when stored.
    pub device: Option<String>,
    /// The languages that the client prefers, for letters to the user. Not stored with the session.
    pub languages: Languages,
}

/// Session epoch: the user's counter that ends all older sessions. Sessions issued in the present
/// epoch are live, and the one that was kept when the epoch last rose.
///
/// It is part of the user's row, so that a suspension, a new password or the revocation of all
/// sessions commits together with its effect on every session, in any session store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionEpoch {
    /// Rises when all sessions end.
    pub number: u64,
    /// The session that stayed live when the number last rose.
    pub kept: Option<SessionId>,
}

impl SessionEpoch {
    /// Whether a session that was issued in `session_epoch` is live.
    #[must_use]
    pub fn covers(self, session: SessionId, session_epoch: u64) -> bool {
        session_epoch == self.number || self.kept == Some(session)
    }

    /// Returns the next epoch, in which of the older sessions only `kept` stays live.
    #[must_use]
    pub const fn next(self, kept: Option<SessionId>) -> Self {
        Self { number: self.number.saturating_add(1), kept }
    }
}

/// The stored claims of a refresh token, sufficient to sign identical bytes again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    /// Its `jti`.
    pub id: TokenId,
    /// Its `iat`, a whole second.
    pub issued_at: Timestamp,
    /// Its `exp`, a whole second.
    pub expires_at: Timestamp,
    /// The `kid` of the key that signs it.
    pub key: String,
}

/// The replacement of a session's tokens on purpose, as by a change of the password: its earlier
/// tokens no longer work, and presenting one ends nothing.
///
/// It is part of the user's account and commits with the session epoch, whichever store keeps the
/// session. That store applies it right after, and otherwise at the session's next refresh.
///
/// A user store keeps it as one text, by `Display` and [`TokenReplacement::parse`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenReplacement {
    /// The session.
    pub session: SessionId,
    /// The user's session epoch since the replacement. Tokens of an earlier one are replaced.
    pub epoch: u64,
    /// The refresh token that replaces all earlier ones.
    pub token: RefreshToken,
}

impl TokenReplacement {
    /// Parses the text that `Display` writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.splitn(6, ' ').collect();
        let [session, epoch, id, issued_at, expires_at, key] = parts[..] else { return None };
        let time = |text: &str| text.parse().ok().map(Timestamp::from_millis);
        Some(Self {
            session: SessionId::parse(session).ok()?,
            epoch: epoch.parse().ok()?,
            token: RefreshToken {
                id: TokenId::parse(id).ok()?,
                issued_at: time(issued_at)?,
                expires_at: time(expires_at)?,
                key: key.to_owned(),
            },
        })
    }
}

impl fmt::Display for TokenReplacement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session, epoch, token: RefreshToken { id, issued_at, expires_at, key } } = self;
        let (issued_at, expires_at) = (issued_at.as_millis(), expires_at.as_millis());
        write!(formatter, "{session} {epoch} {id} {issued_at} {expires_at} {key}")
    }
}

/// A used refresh token that is accepted again during the grace period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Predecessor {
    /// Its `jti`.
    pub id: TokenId,
    /// The time of its first use.
    pub used_at: Timestamp,
    /// The client's address at its first use.
    pub used_from: Option<IpAddr>,
}

impl Predecessor {
    /// Whether a client at this address is elsewhere than at the first use. An unknown address is not.
    #[must_use]
    pub fn is_elsewhere(&self, address: Option<IpAddr>) -> bool {
        let first = self.used_from.map(canonical_address);
        let again = address.map(canonical_address);
        first.is_some_and(|first| again.is_some_and(|again| first != again))
    }
}

/// A session: one login on one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The identifier.
    pub id: SessionId,
    /// The user.
    pub user: UserId,
    /// The user's session epoch at login, or at the last replacement of the session's tokens. Its
    /// tokens carry it.
    pub epoch: u64,
    /// The client software at login.
    pub device: String,
    /// The client's address at login.
    pub address: Option<IpAddr>,
    /// The time of the login.
    pub created_at: Timestamp,
    /// The time of the login or the last refresh.
    pub last_used_at: Timestamp,
    /// Idle expiry: the expiry of the refresh token, a whole second, never after
    /// [`Session::ends_at`].
    pub idle_at: Timestamp,
    /// Absolute expiry, a whole second.
    pub ends_at: Timestamp,
    /// The current refresh token.
    pub current: RefreshToken,
    /// Its direct predecessor.
    pub previous: Option<Predecessor>,
    /// The methods of its proofs. A refresh changes neither them nor the times of the proofs.
    pub methods: Methods,
    /// The time of the last proof, which access tokens carry as `auth_time`; at login, the time of the
    /// login.
    pub authenticated_at: Timestamp,
    /// The time of the last proof of several factors, if there was one.
    pub multi_at: Option<Timestamp>,
    /// Reserved for a user that acts as this one; `None`.
    pub actor: Option<UserId>,
}

impl Session {
    /// Returns the assurance: that of the best proof of the session.
    #[must_use]
    pub fn assurance(&self) -> Assurance {
        self.proof_times().assurance()
    }

    pub(crate) fn proof_times(&self) -> ProofTimes {
        let Self { authenticated_at, multi_at, .. } = *self;
        ProofTimes { authenticated_at, multi_at }
    }

    /// Returns the time at which the session expires unless it is refreshed.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.idle_at.min(self.ends_at)
    }

    /// Returns the session that replaces this one once the user has shown a proof again, of this method and
    /// assurance: under another id and token, with the device, the beginning and the end of this one.
    pub(crate) fn stepped_up(
        &self,
        id: SessionId,
        epoch: u64,
        token: RefreshToken,
        (method, assurance): (Method, Assurance),
        now: Timestamp,
    ) -> Self {
        let multi_at = match assurance {
            Assurance::Single => self.multi_at,
            Assurance::Multi => Some(now),
        };
        Self {
            id,
            epoch,
            multi_at,
            last_used_at: now,
            idle_at: token.expires_at.min(self.ends_at),
            current: token,
            previous: None,
            methods: self.methods.with(method),
            authenticated_at: now,
            ..self.clone()
        }
    }

    /// Whether the session has expired.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now >= self.expires_at()
    }

    /// Whether the session is live by its user's epoch and has not expired.
    #[must_use]
    pub fn is_live(&self, epoch: SessionEpoch, now: Timestamp) -> bool {
        !self.is_expired(now) && epoch.covers(self.id, self.epoch)
    }

    /// The rotation rule: decides on a refresh token of a session epoch, for every store that can run it
    /// inside its own transaction.
    ///
    /// A token from before the last [replacement](Session::replace_tokens) has no effect. Any other
    /// token works once. The direct predecessor of the current token is accepted again during the
    /// grace period after its use, until the current token is used and becomes the direct predecessor
    /// itself. A clock that was set back since its use does not make the grace period longer: it is
    /// accepted if its use is less than the leeway away, in either direction.
    #[must_use]
    pub fn rotation_decision(
        &self,
        presented: TokenId,
        epoch: u64,
        now: Timestamp,
        leeway: Duration,
    ) -> RotationDecision {
        let is_repeat = |previous: Predecessor| {
            let used_at = previous.used_at;
            previous.id == presented && now < used_at + leeway && used_at < now + leeway
        };
        if self.is_expired(now) {
            RotationDecision::Expired
        } else if epoch < self.epoch {
            RotationDecision::Replaced
        } else if presented == self.current.id {
            RotationDecision::Rotate
        } else if self.previous.is_some_and(is_repeat) {
            RotationDecision::Repeat
        } else {
            RotationDecision::Reuse
        }
    }

    /// Applies [`RotationDecision::Rotate`]: the successor becomes current, the current token becomes
    /// the predecessor, used by the client at `address`, and the session expires with the successor.
    pub fn rotate(&mut self, successor: RefreshToken, now: Timestamp, address: Option<IpAddr>) {
        self.previous = Some(Predecessor { id: self.current.id, used_at: now, used_from: address });
        self.last_used_at = now;
        self.idle_at = successor.expires_at.min(self.ends_at);
        self.current = successor;
    }

    /// Whether the user's account may have a replacement of the session's tokens that this session lacks: it
    /// is live only as the one that was kept when the epoch last rose.
    #[must_use]
    pub fn may_lack_replacement(&self, epoch: SessionEpoch) -> bool {
        self.epoch < epoch.number && epoch.kept == Some(self.id)
    }

    /// Applies a replacement of the session's tokens, unless the session has expired or a replacement of
    /// this epoch or a later one was applied before. Returns whether it changed the session.
    pub fn replace_tokens(&mut self, replacement: &TokenReplacement, now: Timestamp) -> bool {
        let TokenReplacement { session, epoch, ref token } = *replacement;
        if session != self.id || epoch <= self.epoch || self.is_expired(now) {
            return false;
        }
        self.epoch = epoch;
        self.idle_at = token.expires_at.min(self.ends_at);
        self.current = token.clone();
        self.previous = None;
        true
    }
}

/// The decision on a presented refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotationDecision {
    /// It is the current token.
    Rotate,
    /// It is the direct predecessor, within the grace period.
    Repeat,
    /// It is an older token.
    Reuse,
    /// It is from before the session's tokens were replaced on purpose.
    Replaced,
    /// The session has expired.
    Expired,
}

/// Whether the current session ends when a user ends all of their sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherSessions {
    /// The current session stays live.
    KeepCurrent,
    /// The current session ends too.
    EndCurrentToo,
}

/// Statistics of the session cache since its creation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Lookups that found a valid entry.
    pub hits: u64,
    /// Lookups that did not.
    pub misses: u64,
    /// Entries that were removed by invalidations or for lack of space.
    pub evictions: u64,
    /// Present entries.
    pub entries: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sample::{START, later, session, token};

    #[test]
    fn replacement_is_parsed_from_its_text() {
        let (session, token) = (SessionId::generate(START), token(START));
        let replacement = TokenReplacement { session, epoch: u64::MAX, token };
        let text = replacement.to_string();
        assert_eq!(TokenReplacement::parse(&text), Some(replacement));
        for end in 0..text.len() - " key".len() {
            assert_eq!(TokenReplacement::parse(&text[..end]), None, "{end}");
        }
    }

    /// D6: an IPv4-mapped or NAT64 IPv6 address is the IPv4 address.
    #[test]
    fn use_is_elsewhere_if_both_addresses_are_known_and_differ() {
        let address = |text: &str| text.parse::<IpAddr>().ok();
        let used_from = |text| Predecessor {
            id: TokenId::generate(START),
            used_at: START,
            used_from: address(text),
        };
        for (first, again, expected) in [
            ("192.0.2.7", "192.0.2.7", false),
            ("192.0.2.7", "::ffff:192.0.2.7", false),
            ("64:ff9b::192.0.2.7", "192.0.2.7", false),
            ("64:ff9b::192.0.2.7", "64:ff9b::192.0.2.8", true),
            ("192.0.2.7", "192.0.2.8", true),
            ("2001:db8::1", "2001:db8::2", true),
            ("192.0.2.7", "", false),
            ("", "192.0.2.7", false),
            ("", "", false),
        ] {
            let elsewhere = used_from(first).is_elsewhere(address(again));
            assert_eq!(elsewhere, expected, "{first:?} {again:?}");
        }
    }

    /// D5: tokens from before a replacement have no effect, and it is applied once, in any order.
    #[test]
    fn replacement_supersedes_earlier_tokens_once() {
        let mut session = session(UserId::generate(START), START);
        let (id, old) = (session.id, session.current.id);
        session.rotate(token(later(1)), later(1), None);
        let replacement = |epoch, at| TokenReplacement { session: id, epoch, token: token(at) };
        let (first, second) = (replacement(1, later(2)), replacement(2, later(3)));
        let foreign = TokenReplacement { session: SessionId::generate(START), ..first.clone() };
        assert!(!session.replace_tokens(&foreign, later(4)));
        assert!(!session.clone().replace_tokens(&first, session.idle_at), "it has expired");

        assert!(session.clone().replace_tokens(&first, later(4)));
        assert!(session.replace_tokens(&second, later(4)));
        let after = session.clone();
        assert!(!session.replace_tokens(&second, later(5)));
        assert!(!session.replace_tokens(&first, later(5)));
        assert_eq!(session, after);
        assert_eq!((session.epoch, session.previous), (2, None));
        let leeway = Duration::from_secs(10);
        let decide = |id, epoch| session.rotation_decision(id, epoch, later(5), leeway);
        assert_eq!(decide(old, 0), RotationDecision::Replaced);
        assert_eq!(decide(TokenId::generate(START), 1), RotationDecision::Replaced);
        assert_eq!(decide(second.token.id, 2), RotationDecision::Rotate);
        assert_eq!(decide(TokenId::generate(START), 2), RotationDecision::Reuse);
    }
}
