//! Session codec: a header of fixed offsets, which the scripts read too, followed by texts.
//!
//! ```text
//!  1  1  version
//!  2  8  epoch             34 16  id of the current token     84  1  length of its key id
//! 10  6  created at        50  6  issued at                   85  …  its key id
//! 16  6  last used at      56  6  expires at                   …  …  address of the previous token's use
//! 22  6  idle at           62 16  id of the previous token     …  …  address of the login
//! 28  6  ends at           78  6  used at                      …  …  device, to the end
//! ```
//!
//! Offsets start at 1, as in Lua; numbers are big-endian, times are milliseconds since 1970. Sixteen
//! zero bytes mean that there is no previous token. An address has its length before it.

use std::net::IpAddr;

use crate::clock::Timestamp;
use crate::id::{SessionId, TokenId, UserId};
use crate::session::{Predecessor, RefreshToken, Session};

/// The format version. Other versions are not decoded.
const VERSION: u8 = 2;
/// The latest time that fits: the year 10889.
const MAX_TIME: u64 = (1 << 48) - 1;

/// Encodes a time as milliseconds in six bytes; `None` if it does not fit.
pub(super) fn time(time: Timestamp) -> Option<[u8; 6]> {
    let milliseconds = u64::try_from(time.as_millis()).ok().filter(|time| *time <= MAX_TIME)?;
    let mut bytes = [0; 6];
    bytes.copy_from_slice(&milliseconds.to_be_bytes()[2..]);
    Some(bytes)
}

/// Encodes a session; `None` if a time or a text does not fit.
pub(super) fn encode(session: &Session) -> Option<Vec<u8>> {
    let Session { current, previous, .. } = session;
    let mut bytes = vec![VERSION];
    bytes.extend(session.epoch.to_be_bytes());
    for at in [session.created_at, session.last_used_at, session.idle_at, session.ends_at] {
        bytes.extend(time(at)?);
    }
    bytes.extend(current.id.as_u128().to_be_bytes());
    bytes.extend(time(current.issued_at)?);
    bytes.extend(time(current.expires_at)?);
    let before = previous.map_or(0, |previous| previous.id.as_u128());
    bytes.extend(before.to_be_bytes());
    bytes.extend(previous.map_or(Some([0; 6]), |previous| time(previous.used_at))?);
    bytes.push(u8::try_from(current.key.len()).ok()?);
    bytes.extend(current.key.as_bytes());
    for address in [previous.and_then(|previous| previous.used_from), session.address] {
        let octets = octets(address);
        bytes.push(u8::try_from(octets.len()).ok()?);
        bytes.extend(octets);
    }
    bytes.extend(session.device.as_bytes());
    Some(bytes)
}

/// Encodes an address; empty if there is none.
pub(super) fn octets(address: Option<IpAddr>) -> Vec<u8> {
    match address {
        None => Vec::new(),
        Some(IpAddr::V4(address)) => address.octets().to_vec(),
        Some(IpAddr::V6(address)) => address.octets().to_vec(),
    }
}

/// Decodes a session; `None` if the bytes are malformed.
pub(super) fn decode(user: UserId, id: SessionId, bytes: &[u8]) -> Option<Session> {
    let mut rest = Rest(bytes);
    if rest.array()? != [VERSION] {
        return None;
    }
    let epoch = u64::from_be_bytes(rest.array()?);
    let created_at = rest.time()?;
    let last_used_at = rest.time()?;
    let idle_at = rest.time()?;
    let ends_at = rest.time()?;
    let (token, issued_at, expires_at) = (rest.token()?, rest.time()?, rest.time()?);
    let (before, used_at) = (rest.token()?, rest.time()?);
    let key = rest.text()?;
    let (used_from, address) = (rest.address()?, rest.address()?);
    // One value for one session: without a previous token there is no time and no address of its use.
    if before.as_u128() == 0 && (used_at.as_millis() != 0 || used_from.is_some()) {
        return None;
    }
    let device = String::from_utf8(rest.0.to_vec()).ok()?;
    let previous =
        (before.as_u128() != 0).then_some(Predecessor { id: before, used_at, used_from });
    let current = RefreshToken { id: token, issued_at, expires_at, key };
    Some(Session {
        id,
        user,
        epoch,
        device,
        address,
        created_at,
        last_used_at,
        idle_at,
        ends_at,
        current,
        previous,
    })
}

/// The bytes that are not yet decoded.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn time(&mut self) -> Option<Timestamp> {
        let bytes: [u8; 6] = self.array()?;
        let milliseconds = bytes.iter().fold(0, |sum, byte| sum << 8 | i64::from(*byte));
        Some(Timestamp::from_millis(milliseconds))
    }

    fn token(&mut self) -> Option<TokenId> {
        Some(TokenId::from_u128(u128::from_be_bytes(self.array()?)))
    }

    fn address(&mut self) -> Option<Option<IpAddr>> {
        Some(match self.array()? {
            [0] => None,
            [4] => Some(IpAddr::from(self.array::<4>()?)),
            [16] => Some(IpAddr::from(self.array::<16>()?)),
            _ => return None,
        })
    }

    /// Decodes a text with a length prefix.
    fn text(&mut self) -> Option<String> {
        let [length] = self.array()?;
        let (text, rest) = self.0.split_at_checked(length.into())?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::sample::{START, session};

    fn id<T>(make: impl Fn(Timestamp) -> T) -> T {
        make(START)
    }

    proptest! {
        #[test]
        fn encoded_session_is_decoded(
            epoch: u64,
            times in prop::array::uniform7(0_i64..=MAX_TIME as i64),
            address: Option<IpAddr>,
            used_from: Option<IpAddr>,
            device in ".{0,256}",
            key in "[a-zA-Z0-9_-]{0,86}",
            is_used: bool,
        ) {
            let mut packed = session(id(UserId::generate), START);
            let at = |place: usize| Timestamp::from_millis(times[place]);
            (packed.created_at, packed.last_used_at) = (at(0), at(1));
            (packed.idle_at, packed.ends_at) = (at(2), at(3));
            (packed.current.issued_at, packed.current.expires_at) = (at(4), at(5));
            packed.current.key = key;
            (packed.epoch, packed.address, packed.device) = (epoch, address, device);
            packed.previous =
                is_used.then(|| Predecessor { id: id(TokenId::generate), used_at: at(6), used_from });
            let bytes = encode(&packed).expect("it fits");
            prop_assert_eq!(decode(packed.user, packed.id, &bytes), Some(packed));
        }

        /// A decoded session encodes to the same bytes.
        #[test]
        fn decoding_is_lossless(
            mut bytes in prop::collection::vec(any::<u8>(), 0..160),
            key in 0_u8..8,
            has_previous: bool,
            used_from in prop::sample::select(vec![0_u8, 4, 16, 5]),
            address in prop::sample::select(vec![0_u8, 4, 16, 5]),
        ) {
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            if !has_previous && bytes.len() > 83 {
                bytes[61..83].fill(0);
            }
            if let Some(length) = bytes.get_mut(83) {
                *length = key;
            }
            let mut place = 84 + usize::from(key);
            for address in [used_from, address] {
                if let Some(length) = bytes.get_mut(place) {
                    *length = address;
                }
                place += 1 + usize::from(address);
            }
            // Only valid UTF-8 here; other texts are rejected.
            bytes.iter_mut().skip(84).for_each(|byte| *byte &= 0x7f);
            let (user, id) = (id(UserId::generate), id(SessionId::generate));
            let read = decode(user, id, &bytes);
            let is_whole = bytes.len() >= place;
            let is_unused = || bytes[77..83].iter().all(|byte| *byte == 0) && used_from == 0;
            let is_sound = is_whole && used_from != 5 && address != 5;
            let is_consistent = is_sound && (bytes[61..77].iter().any(|byte| *byte != 0) || is_unused());
            prop_assert_eq!(read.is_some(), is_consistent);
            if let Some(session) = read {
                prop_assert_eq!(encode(&session), Some(bytes));
            }
        }
    }

    #[test]
    fn value_that_does_not_fit_is_not_encoded() {
        let good = session(id(UserId::generate), START);
        assert!(encode(&good).is_some());
        let before_all = Session { created_at: Timestamp::from_millis(-1), ..good.clone() };
        assert_eq!(encode(&before_all), None);
        let current = RefreshToken { key: "k".repeat(256), ..good.current.clone() };
        assert_eq!(encode(&Session { current, ..good.clone() }), None);
        let mut bytes = encode(&good).expect("it fits");
        bytes[0] = 1;
        assert_eq!(decode(good.user, good.id, &bytes), None);
        for length in 0..86 {
            assert_eq!(decode(good.user, good.id, &bytes[..length]), None);
        }
        // The time of use of no token, and the address.
        let mut bytes = encode(&good).expect("it fits");
        bytes[82] = 1;
        assert_eq!(decode(good.user, good.id, &bytes), None);
        let mut bytes = encode(&good).expect("it fits");
        let place = 84 + good.current.key.len();
        assert_eq!(bytes.splice(place..=place, [4, 192, 0, 2, 7]).collect::<Vec<_>>(), [0]);
        assert_eq!(decode(good.user, good.id, &bytes), None);
    }
}
